/**
 * Errors with a stable code, the cause and a remedy; bad input with its place in the document; assertions.
 * Operational errors (the world) are OperationError or BadInput; programmer errors (us) come from invariant().
 */

/** What a caller may do about an error: try at once, wait and try, wait for somebody to change something, or give up. */
export type Retry = "never" | "now" | "after-change" | "backoff";

export interface OperationErrorOptions {
  readonly remedy?: string;
  readonly retry?: Retry;
  readonly cause?: unknown;
}

export class OperationError extends Error {
  readonly code: string;
  readonly retry: Retry;
  readonly remedy: string | undefined;

  constructor(code: string, message: string, options: OperationErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OperationError";
    this.code = code;
    this.retry = options.retry ?? "never";
    this.remedy = options.remedy;
  }
}

/** One clear sentence about input we refuse: what was wrong, where (path in the document), what was expected. */
export class BadInput extends Error {
  readonly path: string;
  readonly problem: string;
  readonly expected: string;

  constructor(path: string, problem: string, expected: string) {
    super(`${path === "" ? "" : `${path}: `}${problem} (expected ${expected})`);
    this.name = "BadInput";
    this.path = path;
    this.problem = problem;
    this.expected = expected;
  }
}

/** Ends the process when it reaches the top: the kernel goes on enforcing and the restart reads everything back. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${message}`);
}

/** Closes a switch over a union: a forgotten case does not compile. */
export function unreachable(value: never): never {
  throw new Error(`broken invariant: unexpected ${JSON.stringify(value)}`);
}

/** One line: the message, then its causes, nearest first. Never a stack, never more than five causes. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 6 && current !== undefined; depth++) {
    const text = current instanceof Error ? current.message || current.name : String(current);
    if (parts.at(-1) !== text) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ").replaceAll(/\s+/g, " ");
}

/** True for the error of a wait that ended because its signal was aborted. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}
