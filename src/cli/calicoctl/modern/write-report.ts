/** How a command that writes resources says what it did (calicoctl.md 4.4), and below that where a refused one stands. */

import type { RoleIo } from "../../../base/role.ts";
import type { Operation } from "./resource-writer.ts";

export interface Outcome {
  readonly kind: string;
  /** Undefined: done. */
  readonly problem: string | undefined;
  /** Where the resource, or each of its problems, stands. */
  readonly places: readonly string[];
}

export type Verb = Operation | "validate";

export const past: Readonly<Record<Verb, string>> = {
  create: "created",
  apply: "applied",
  replace: "replaced",
  delete: "deleted",
  validate: "validated",
};

/** Answers the exit code. */
export function reportOutcomes(
  io: Pick<RoleIo, "stdout" | "stderr">,
  operation: Verb,
  outcomes: readonly Outcome[],
  dryRun: boolean,
): number {
  const failed = outcomes.filter(({ problem }) => problem !== undefined);
  const [count, handled] = [outcomes.length, outcomes.length - failed.length];
  const kinds = new Set(outcomes.map(({ kind }) => kind));
  const kind = kinds.size === 1 ? ` '${[...kinds].join()}'` : "";
  const done = past[operation];
  if (failed.length === 0 || (operation === "delete" && handled > 0)) {
    io.stdout(`Successfully ${done} ${handled}${kind} resource(s)${dryRun ? " (dry run)" : ""}\n`);
  }
  if (failed.length === 0) return 0;
  const errors = `[${failed.map(({ problem }) => problem).join(" ")}]`;
  if (operation === "delete") {
    for (const { kind: own, problem } of failed) io.stderr(`Failed to delete '${own}' resource: ${problem}\n`);
    return 1;
  }
  if (count === 1) io.stderr(`failed to ${operation}${kind} resource: ${errors}\n`);
  else if (handled === 0) io.stderr(`failed to ${operation} any${kind} resources: ${errors}\n`);
  else {
    io.stdout(`Partial success: ${done} the first ${handled} out of ${count}${kind} resources:\n`);
    io.stderr(`hit error${operation === "apply" ? "(s)" : ""}: ${errors}\n`);
  }
  for (const place of failed.flatMap(({ places }) => places)) io.stderr(`  at ${place}\n`);
  return 1;
}
