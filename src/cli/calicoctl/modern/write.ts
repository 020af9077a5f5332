/** `calicoctl create|apply|replace|delete` (calicoctl.md 4.1, 4.3, 4.4) */

import { BadInput, describeError, OperationError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import { fieldErrorText } from "../../../model/resource-check.ts";
import { type CalicoctlContext, type Command, UsageError } from "../command.ts";
import { DryRunStore } from "../dry-run-store.ts";
import { ensureInitialized } from "../ensure-initialized.ts";
import { fileTasks, missingName, type Task } from "./file-resources.ts";
import { refusal } from "./input-documents.ts";
import { kindOfWord } from "./kind-words.ts";
import { Progress } from "./progress.ts";
import { changeOf } from "./resource-change.ts";
import { idText, notSupported, ResourceError } from "./resource-error.ts";
import { type Operation, ResourceWriter } from "./resource-writer.ts";
import { fileFlags, readWords } from "./words.ts";
import { type Outcome, past, reportOutcomes } from "./write-report.ts";
import { writeUsage } from "./write-usage.ts";

const ipamNote =
  "note: with etcd an IPAMConfiguration is stored and not read: addresses follow /calico/ipam/v2/config (calicoctl ipam configure)\n";

export function writeCommand(operation: Operation): Command {
  return async (context, args) => {
    const wish = readWish(operation, args);
    const tasks = wish.source === undefined ? namedTasks(wish) : await tasksOfFile(context, operation, wish);
    if (tasks.length === 0) {
      context.io.stdout("No resources specified\n");
      return 0;
    }
    const outcomes = wish.dryRun
      ? await tried(context, operation, tasks, wish)
      : await carriedOut(context, operation, tasks, wish);
    if (operation !== "delete" && tasks.some(({ id }) => id.kind === "IPAMConfiguration")) context.io.stderr(ipamNote);
    return reportOutcomes(context.io, operation, outcomes, wish.dryRun);
  };
}

interface Wish {
  readonly source: string | undefined;
  readonly words: readonly string[];
  readonly recursive: boolean;
  readonly skipEmpty: boolean;
  readonly skip: ResourceError["reason"] | undefined;
  readonly namespace: string | undefined;
  readonly dryRun: boolean;
  /** A resourceVersion in the file does not count. */
  readonly force: boolean;
}

function readWish(operation: Operation, args: readonly string[]): Wish {
  const flags = {
    ...fileFlags,
    "dry-run": { type: "boolean", default: false },
    ...(operation === "create" ? ({ "skip-exists": { type: "boolean" } } as const) : {}),
    ...(operation === "delete" ? ({ "skip-not-exists": { type: "boolean", short: "s" } } as const) : {}),
    ...(operation === "create" ? {} : ({ force: { type: "boolean" } } as const)),
  } as const;
  const { values, positionals } = readWords(args, flags, writeUsage[operation]);
  const { filename: source, namespace } = values;
  const byName = operation === "delete" && source === undefined;
  if (byName ? positionals.length < 2 : source === undefined || positionals.length > 0) {
    throw new UsageError(
      `${byName && positionals.length > 0 ? "calicoctl: delete requires a name or a file\n\n" : ""}${writeUsage[operation]}`,
    );
  }
  return {
    source,
    words: positionals,
    recursive: values.recursive,
    skipEmpty: values["skip-empty"],
    skip: values["skip-exists"] ? "exists" : values["skip-not-exists"] ? "missing" : undefined,
    namespace,
    dryRun: values["dry-run"],
    force: values.force === true,
  };
}

function namedTasks({ words: [word = "", ...names], namespace }: Wish): readonly Task[] {
  const kind = kindOfWord(word, refusal);
  if (namespace !== undefined && !isNamespaced(kind)) throw refusal(`${kind} is not namespaced`);
  return names.map((name) => {
    if (name === "" || name.includes("/")) {
      throw refusal(name === "" ? "resource name may not be empty" : `bad name ${name}`);
    }
    const id = { kind, name, ...(isNamespaced(kind) ? { namespace: namespace ?? "default" } : {}) };
    return { id, resourceVersion: undefined, resource: undefined, problem: undefined, places: [] };
  });
}

async function tasksOfFile(context: CalicoctlContext, operation: Operation, wish: Wish): Promise<readonly Task[]> {
  const tasks = await fileTasks(context, operation, { ...wish, source: wish.source ?? "" });
  return wish.force ? tasks.map((task) => ({ ...task, resourceVersion: undefined })) : tasks;
}

async function carriedOut(
  { store, clock, io }: CalicoctlContext,
  operation: Operation,
  tasks: readonly Task[],
  wish: Wish,
): Promise<readonly Outcome[]> {
  const opened = await store();
  if (operation !== "delete") await ensureInitialized(opened, clock);
  const ipam = new Ipam({ store: opened, clock });
  const writer = new ResourceWriter({ store: opened, clock, signal: io.signal, ipam });
  const progress = new Progress(clock, io.stderr, past[operation], tasks.length);
  const outcomes: Outcome[] = [];
  for (const task of tasks) {
    outcomes.push(await outcomeOf(task, wish.skip, () => carryOut(writer, operation, task)));
    progress.step();
  }
  return outcomes;
}

/** The same on a copy that is thrown away, saying what each would change. */
async function tried(
  { store, clock, io }: CalicoctlContext,
  operation: Operation,
  tasks: readonly Task[],
  wish: Wish,
): Promise<readonly Outcome[]> {
  const copy = new DryRunStore(await store());
  if (operation !== "delete") await ensureInitialized(copy, clock);
  const writer = new ResourceWriter({ store: copy, clock, signal: io.signal, ipam: undefined });
  const outcomes: Outcome[] = [];
  for (const task of tasks) {
    const attempt = async () => {
      const place = task.places[0] ?? "command line";
      const { what, diff } = await changeOf(copy, task.id, place, () => carryOut(writer, operation, task));
      io.stdout(`${idText(task.id)}: ${what}\n${what === "deleted" ? "" : diff}`);
    };
    outcomes.push(await outcomeOf(task, wish.skip, attempt));
  }
  return outcomes;
}

export async function carryOut(writer: ResourceWriter, operation: Operation, task: Task): Promise<void> {
  const { id, resource, resourceVersion, problem } = task;
  if (id.kind === "ClusterInformation") throw notSupported(operation, id.kind, "resource is readonly");
  if (problem !== undefined) throw new ResourceError("invalid", problem);
  if (operation === "delete") return await writer.delete(id, resourceVersion, resource);
  if (resource === undefined) throw new ResourceError("invalid", missingName);
  if (operation === "create") return await writer.create(resource);
  if (operation === "replace") return await writer.update(resource, resourceVersion);
  return await writer.apply(resource, resourceVersion);
}

export async function outcomeOf(
  task: Task,
  skip: ResourceError["reason"] | undefined,
  work: () => Promise<void>,
): Promise<Outcome> {
  const base = { kind: task.id.kind, places: task.places };
  try {
    await work();
    return { ...base, problem: undefined };
  } catch (error) {
    if (error instanceof ResourceError) return { ...base, problem: error.reason === skip ? undefined : error.message };
    if (error instanceof BadInput) return { ...base, problem: fieldErrorText(error, task.resource) };
    if (error instanceof OperationError && error.code !== "STORE_UNAVAILABLE") {
      return { ...base, problem: describeError(error) };
    }
    throw error;
  }
}
