/** Everything that is wrong with a document at once, so that its author mends it in one go. */

import type { z } from "zod";
import { BadInput } from "../base/errors.ts";

/** Reads as its first problem to whoever only wants one. */
export class SeveralProblems extends BadInput {
  readonly problems: readonly BadInput[];

  constructor(first: BadInput, others: readonly BadInput[]) {
    super(first.path, first.problem, first.expected);
    this.problems = [first, ...others];
  }
}

export function problemsOf(error: BadInput): readonly BadInput[] {
  return error instanceof SeveralProblems ? error.problems : [error];
}

/** Does all the checks, whatever the others say. @throws BadInput with what all of them refuse */
export function checkAll(checks: Iterable<() => unknown>): void {
  const problems: BadInput[] = [];
  for (const check of checks) {
    try {
      check();
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      problems.push(...problemsOf(error));
    }
  }
  refuse(problems);
}

/** @throws BadInput for every field the schema refuses */
export function checkFields(schema: z.ZodType, value: unknown): void {
  const issues = schema.safeParse(value).error?.issues ?? [];
  refuse(issues.map(({ path, message }) => new BadInput(path.map(String).join("."), message, "see the field")));
}

function refuse(problems: readonly BadInput[]): void {
  const [first, ...others] = problems;
  if (first === undefined) return;
  throw others.length === 0 ? first : new SeveralProblems(first, others);
}
