/** For tests of failures: the error a promise rejects with, or its code. */
import { OperationError } from "../../base/errors.ts";

export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it should have failed");
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return codeOfError(await failureOf(promise));
}

export function codeOfError(error: unknown): string {
  if (error instanceof OperationError) return error.code;
  throw error ?? new Error("there was no error");
}
