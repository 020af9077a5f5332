/** How an attempt ends, for tests: the code of its error, or "done". */
import { OperationError } from "../../base/errors.ts";

export function codeOf(work: () => unknown): string {
  try {
    work();
    return "done";
  } catch (error) {
    return error instanceof OperationError ? error.code : String(error);
  }
}
