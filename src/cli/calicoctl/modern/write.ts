/** `calicoctl create|apply|replace|delete` (calicoctl.md 4.1, 4.3, 4.4) */

import { parseArgs } from "node:util";
import { BadInput, describeError, OperationError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import type { AnyResource } from "../../../model/resource.ts";
import { fieldErrorText, preparedResource } from "../../../model/resource-check.ts";
import { type CalicoctlContext, type Command, CommandFailure, UsageError } from "../command.ts";
import { DryRunStore } from "../dry-run-store.ts";
import { ensureInitialized } from "../ensure-initialized.ts";
import { viewOf } from "./get-kinds.ts";
import { type InputResource, isDirectory, readInput, unknownField } from "./input-documents.ts";
import { notSupported, ResourceError, type ResourceId } from "./resource-error.ts";
import { type Operation, ResourceWriter } from "./resource-writer.ts";
import { type Outcome, reportOutcomes } from "./write-report.ts";
import { writeUsage } from "./write-usage.ts";

const ipamNote =
  "note: with etcd an IPAMConfiguration is stored and not read: addresses follow /calico/ipam/v2/config\n";

/** One resource that a command is about. */
interface Task {
  readonly id: ResourceId;
  readonly resourceVersion: string | undefined;
  /** Undefined: not fit to be written, or not needed. */
  readonly resource: AnyResource | undefined;
  readonly problem: string | undefined;
  readonly place: string;
}

export function writeCommand(operation: Operation): Command {
  return async (context, args) => {
    const wish = readWish(operation, args);
    const tasks = wish.source === undefined ? namedTasks(wish) : await fileTasks(context, operation, wish);
    if (tasks.length === 0) {
      context.io.stdout("No resources specified\n");
      return 0;
    }
    const store = await context.store();
    const { clock, io } = context;
    const written = wish.dryRun ? new DryRunStore(store) : store;
    const ipam = wish.dryRun ? undefined : new Ipam({ store, clock });
    if (operation !== "delete") await ensureInitialized(written, clock);
    const writer = new ResourceWriter({ store: written, clock, signal: io.signal, ipam });
    const outcomes: Outcome[] = [];
    for (const task of tasks) {
      const problem = await problemOf(() => carryOut(writer, operation, task), task, wish);
      outcomes.push({ kind: task.id.kind, problem, place: task.place });
    }
    if (operation !== "delete" && tasks.some(({ id }) => id.kind === "IPAMConfiguration")) io.stderr(ipamNote);
    return reportOutcomes(io, operation, outcomes, wish.dryRun);
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
}

function readWish(operation: Operation, args: readonly string[]): Wish {
  const { values, positionals } = parsed(operation, args);
  const { filename: source, namespace } = values;
  const byName = operation === "delete" && source === undefined;
  if (byName ? positionals.length < 2 : source === undefined || positionals.length > 0) {
    throw new UsageError(
      `${byName && positionals.length > 0 ? "calicoctl: delete requires a name or a file\n\n" : ""}${writeUsage[operation]}`,
    );
  }
  if ((values["skip-exists"] && operation !== "create") || (values["skip-not-exists"] && operation !== "delete")) {
    throw new UsageError(writeUsage[operation]);
  }
  return {
    source,
    words: positionals,
    recursive: values.recursive,
    skipEmpty: values["skip-empty"],
    skip: values["skip-exists"] ? "exists" : values["skip-not-exists"] ? "missing" : undefined,
    namespace,
    dryRun: values["dry-run"],
  };
}

function parsed(operation: Operation, args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        filename: { type: "string", short: "f" },
        recursive: { type: "boolean", short: "R", default: false },
        namespace: { type: "string", short: "n" },
        "skip-empty": { type: "boolean", default: false },
        "skip-exists": { type: "boolean", default: false },
        "skip-not-exists": { type: "boolean", short: "s", default: false },
        "dry-run": { type: "boolean", default: false },
      },
    });
  } catch {
    throw new UsageError(writeUsage[operation]);
  }
}

function namedTasks({ words: [word = "", ...names], namespace }: Wish): readonly Task[] {
  const view = viewOf(word);
  const refuse = (problem: string) => new CommandFailure("stderr", `failed to execute command: ${problem}\n`);
  if (view === undefined) throw refuse(`resource type '${word}' is not supported`);
  const { kind } = view;
  if (namespace !== undefined && !isNamespaced(kind)) throw refuse(`${kind} is not namespaced`);
  return names.map((name) => {
    if (name === "" || name.includes("/"))
      throw refuse(name === "" ? "resource name may not be empty" : `bad name ${name}`);
    const id = { kind, name, ...(isNamespaced(kind) ? { namespace: namespace ?? "default" } : {}) };
    return { id, resourceVersion: undefined, resource: undefined, problem: undefined, place: name };
  });
}

async function fileTasks({ io }: CalicoctlContext, operation: Operation, wish: Wish): Promise<readonly Task[]> {
  const { source = "", recursive, skipEmpty, namespace } = wish;
  const inputs = await readInput({ source, recursive }, io);
  if (inputs.length === 0 && !skipEmpty) {
    const what = (await isDirectory(source)) ? "directory" : "file";
    throw new CommandFailure("stderr", `failed to execute command: no resources specified in ${what} ${source}\n`);
  }
  return inputs.map((input) => taskOf(input, operation, namespace));
}

/** @throws CommandFailure for an unknown field, which refuses the whole command */
function taskOf({ kind, document, where }: InputResource, operation: Operation, client: string | undefined): Task {
  const given = document.metadata as Readonly<Record<string, string | undefined>>;
  const namespace = given.namespace || (isNamespaced(kind) ? (client ?? "default") : undefined);
  const { namespace: _given, ...metadata } = document.metadata;
  const filled = { ...document, metadata: { ...metadata, ...(namespace === undefined ? {} : { namespace }) } };
  const version = given.resourceVersion || undefined;
  const task = (name: string, resource: AnyResource | undefined, problem: string | undefined, path: string): Task => ({
    id: { kind, name, ...(namespace === undefined ? {} : { namespace }) },
    resourceVersion: version,
    resource,
    problem,
    place: where(path),
  });
  const name = given.name ?? "";
  const problem = namespaceProblem(kind, given.namespace, client) ?? creationProblem(operation, kind, given);
  try {
    const resource = preparedResource(filled);
    return task(resource.metadata.name, resource, problem, "metadata.name");
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    if (error.problem === "unknown field") throw unknownField(error.path, where);
    // What is to go need not be right.
    const needed = operation !== "delete" ? fieldErrorText(error, filled) : name === "" ? missingName : undefined;
    return task(name, undefined, problem ?? needed, error.path.replace(/^IPPool\./, ""));
  }
}

const missingName = "insufficient identifiers, missing 'name'";

function namespaceProblem(kind: ResourceId["kind"], given: string | undefined, client: string | undefined) {
  if (!given) return undefined;
  if (!isNamespaced(kind)) {
    return `namespace should not be specified for a non-namespaced resource. ${kind} is not a namespaced resource`;
  }
  if (client === undefined || client === given) return undefined;
  return `resource namespace does not match client namespace. ${given} != ${client}`;
}

function creationProblem(
  operation: Operation,
  kind: ResourceId["kind"],
  { name, generateName, resourceVersion }: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (operation === "delete") return undefined;
  if (!name && kind !== "WorkloadEndpoint") {
    const more = generateName ? " (GenerateName is not supported)" : "";
    return `error with field Metadata.Name = '' (field must be set for ${operation === "replace" ? "an Update" : "a Create"} request${more})`;
  }
  if (operation !== "create" || !resourceVersion) return undefined;
  return `error with field Metadata.ResourceVersion = '${resourceVersion}' (field must not be set for a Create request)`;
}

async function carryOut(writer: ResourceWriter, operation: Operation, task: Task): Promise<void> {
  const { id, resource, resourceVersion, problem } = task;
  if (id.kind === "ClusterInformation") throw notSupported(operation, id.kind, "resource is readonly");
  if (problem !== undefined) throw new ResourceError("invalid", problem);
  if (operation === "delete") return await writer.delete(id, resourceVersion, resource);
  if (resource === undefined) throw new ResourceError("invalid", missingName);
  if (operation === "create") return await writer.create(resource);
  if (operation === "replace") return await writer.update(resource, resourceVersion);
  return await writer.apply(resource, resourceVersion);
}

async function problemOf(work: () => Promise<void>, task: Task, { skip }: Wish): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof ResourceError) return error.reason === skip ? undefined : error.message;
    if (error instanceof BadInput) return fieldErrorText(error, task.resource);
    if (error instanceof OperationError && error.code !== "STORE_UNAVAILABLE") return describeError(error);
    throw error;
  }
}
