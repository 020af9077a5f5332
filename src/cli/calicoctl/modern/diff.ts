/** `calicoctl diff -f FILE`: what `apply` would change, as a unified diff; writes nothing. */

import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { DryRunStore } from "../dry-run-store.ts";
import { ensureInitialized } from "../ensure-initialized.ts";
import { fileTasks } from "./file-resources.ts";
import { changeOf } from "./resource-change.ts";
import { ResourceWriter } from "./resource-writer.ts";
import { fileFlags, readWords } from "./words.ts";
import { carryOut, outcomeOf } from "./write.ts";

export const diffUsage = `Usage:
  calicoctl diff -f FILE|DIR|- [-R] [--skip-empty] [-n NAMESPACE]
`;

export const diffHelp = `Shows what "calicoctl apply" of the same file would change, as a unified diff. Writes nothing.

${diffUsage}
Exit code: 0 no difference, 1 differences (or the datastore does not answer), 2 a resource would be refused, or
the file cannot be read.

Examples:
  calicoctl diff -f policy.yaml
  calicoctl diff -f policies/ --recursive
`;

/** As diff(1) and kubectl have them. */
const exit = { same: 0, different: 1, failed: 2 } as const;

export async function diff(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io, clock, store } = context;
  const { values, positionals } = readWords(args, fileFlags, diffUsage);
  const { filename: source, recursive, namespace } = values;
  if (source === undefined || positionals.length > 0) throw new UsageError(diffUsage);
  const tasks = await fileTasks(context, "apply", {
    source,
    recursive,
    namespace,
    skipEmpty: values["skip-empty"],
  }).catch((error: unknown) => {
    if (!(error instanceof CommandFailure)) throw error;
    throw new CommandFailure(error.stream, error.message, exit.failed);
  });
  const copy = new DryRunStore(await store());
  await ensureInitialized(copy, clock);
  const writer = new ResourceWriter({ store: copy, clock, signal: io.signal, ipam: undefined });
  let code: number = exit.same;
  for (const task of tasks) {
    const { problem, places } = await outcomeOf(task, undefined, async () => {
      const change = await changeOf(copy, task.id, task.places[0] ?? "", () => carryOut(writer, "apply", task));
      io.stdout(change.diff);
      if (change.what !== "unchanged") code = Math.max(code, exit.different);
    });
    if (problem === undefined) continue;
    code = exit.failed;
    io.stderr(`${problem}\n${places.map((place) => `  at ${place}\n`).join("")}`);
  }
  return code;
}
