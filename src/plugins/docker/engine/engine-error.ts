/**
 * What the Docker Engine answered when it did not do what was asked. `status` is the HTTP status, 0 when the daemon could
 * not be reached at all: "not there" (404) and "could not ask" (0) must never be mistaken for one another.
 */
import { OperationError } from "../../../base/errors.ts";

export type EngineErrorCode = "DOCKER_UNAVAILABLE" | "DOCKER_TIMEOUT" | "DOCKER_REFUSED" | "DOCKER_PROTOCOL";

export class EngineError extends OperationError {
  readonly status: number;

  constructor(code: EngineErrorCode, status: number, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { retry: code === "DOCKER_REFUSED" && status < 500 ? "after-change" : "backoff", ...options });
    this.name = "EngineError";
    this.status = status;
  }
}

/** The HTTP status the daemon answered with; undefined when the error is not an answer of the daemon. */
export function engineStatus(error: unknown): number | undefined {
  return error instanceof EngineError && error.code === "DOCKER_REFUSED" ? error.status : undefined;
}

/** True when nothing is known about the daemon's state: it is away, starting, or stopped in the middle of the answer. */
export function isEngineUnavailable(error: unknown): boolean {
  return error instanceof EngineError && (error.code === "DOCKER_UNAVAILABLE" || error.code === "DOCKER_TIMEOUT");
}
