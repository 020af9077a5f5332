/** Runs a program to its end with bounded time and output; arguments as an array, never through a shell. */

import { OperationError } from "../base/errors.ts";

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Text kept of each stream, from its end: enough for any message, never the machine's memory. */
const outputMaxChars = 4 * 1024 * 1024;

export async function runCommand(words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const child = Bun.spawn([...words], {
    stdin: options.stdin === undefined ? "ignore" : new TextEncoder().encode(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...(options.env ?? process.env) },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, exitCode] = await Promise.all([textOf(child.stdout), textOf(child.stderr), child.exited]);
  options.signal?.throwIfAborted();
  if (child.signalCode === "SIGKILL" && exitCode === 137 && child.killed) {
    throw new OperationError("COMMAND_TIMEOUT", `${words.join(" ")} did not end within ${timeoutMs} ms`);
  }
  return { exitCode, stdout, stderr };
}

/** The standard output; throws with what the program said when it fails. */
export async function mustRun(words: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(words, options);
  if (exitCode === 0) return stdout;
  const said = (stderr.trim() || stdout.trim()).slice(-2_000);
  throw new OperationError("COMMAND_FAILED", `${words.join(" ")} ended with ${exitCode}: ${said}`);
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) text = (text + decoder.decode(chunk, { stream: true })).slice(-outputMaxChars);
  return text;
}
