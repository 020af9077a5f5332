/**
 * `calicoctl datastore migrate export|import` (calicoctl.md 4.9): everything of a cluster as one text, and back into an
 * empty store. Three parts parted by "===": the resources as YAML, ClusterInformation as JSON, the address plan as JSON.
 * Resources stand there as they are stored, with their stamps, so that what comes back is what was.
 */

import { readFile } from "node:fs/promises";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { BadInput, describeError } from "../../../base/errors.ts";
import { ClusterInformation, initializationKeys } from "../../../model/cluster-information.ts";
import { parseJson, stringifyJson } from "../../../model/json.ts";
import {
  clusterInformationKey,
  ipamPrefix,
  parseResourceKey,
  resourceKey,
  resourcesPrefix,
} from "../../../model/keys.ts";
import { isNamespaced, type Kind, kinds } from "../../../model/kinds.ts";
import { AnyResource, apiVersion, check, encode } from "../../../model/resource.ts";
import type { Operation, Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { readCluster } from "./cluster-lock.ts";
import { documentYaml } from "./document-yaml.ts";
import { Progress } from "./progress.ts";
import { readable } from "./readable-resource.ts";
import { readWords } from "./words.ts";

export const exportUsage = `Usage:
  calicoctl datastore migrate export
`;

export const exportHelp = `Prints everything of the cluster: resources, its identity, and the address plan. The datastore must be locked.

${exportUsage}
Examples:
  calicoctl datastore migrate lock
  calicoctl datastore migrate export > saved.yaml
`;

export const importUsage = `Usage:
  calicoctl datastore migrate import -f FILE|-
`;

export const importHelp = `Writes what "export" has printed into an empty datastore, which is locked afterwards.

${importUsage}
Options:
  -f, --filename=FILE   the export; "-" is standard input

An import that was cut off can be done again with the same file.

Examples:
  calicoctl --store=http://10.0.0.2:2379 datastore migrate import -f saved.yaml
  calicoctl --store=http://10.0.0.2:2379 datastore migrate unlock
`;

const partSeparator = "\n===\n";
/** etcd takes 128 operations in a transaction, and 1.5 MiB. */
const keysPerTransaction = 100;
const bytesPerTransaction = 1024 * 1024;

const failure = (problem: string) => new CommandFailure("stderr", `${problem}\n`);

export async function exportDatastore({ io, store }: CalicoctlContext, args: readonly string[]): Promise<number> {
  if (readWords(args, {}, exportUsage).positionals.length > 0) throw new UsageError(exportUsage);
  const opened = await store();
  const cluster = await readCluster(opened);
  if (cluster?.locked !== true) {
    throw failure(
      "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order to begin migration",
    );
  }
  const unreadable: string[] = [];
  const documents = (await opened.list(resourcesPrefix)).kvs.flatMap(({ key, value }) => {
    if (key === clusterInformationKey) return [];
    const resource = parseResourceKey(key) === undefined ? undefined : readable(value, key);
    if (resource === undefined) unreadable.push(key);
    return resource === undefined ? [] : [documentYaml(resource)];
  });
  const plan = (await opened.list(ipamPrefix)).kvs.flatMap(({ key, value }) => {
    try {
      return [[key, value === "" ? {} : parseJson(value, key)] as const];
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      unreadable.push(key);
      return [];
    }
  });
  if (unreadable.length > 0) {
    throw failure(`these cannot be read, and would be missing: ${unreadable.join(", ")}`);
  }
  const parts = [
    documents.join("---\n").trimEnd(),
    stringifyJson(cluster.information),
    stringifyJson(Object.fromEntries(plan)),
  ];
  io.stdout(`${parts.join(partSeparator)}\n`);
  return 0;
}

export async function importDatastore(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(args, { filename: { type: "string", short: "f" } }, importUsage);
  if (values.filename === undefined || positionals.length > 0) throw new UsageError(importUsage);
  const { io, store, clock } = context;
  const { cluster, writes } = exportedIn(await textOf(values.filename, context));
  const opened = await store();
  await refuseForeign(opened, cluster, new Set(writes.map(({ put }) => put)));
  const locked = { ...cluster, spec: { ...cluster.spec, datastoreReady: false } };
  await opened.put(clusterInformationKey, encode(locked));
  const progress = new Progress(clock, io.stderr, "imported", writes.length);
  for (const part of inParts(writes)) {
    io.signal.throwIfAborted();
    await opened.transact({ compare: [], success: part });
    for (const _ of part) progress.step();
  }
  io.stdout(
    `Datastore information successfully imported: ${writes.length} keys. The datastore is locked; unlock it with: calicoctl datastore migrate unlock\n`,
  );
  return 0;
}

type Put = Operation & { readonly put: string; readonly value: string };

async function textOf(file: string, { io }: CalicoctlContext): Promise<string> {
  if (file === "-") return await io.stdin();
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw failure(`cannot read ${file}: ${describeError(error)}`);
  }
}

/** All of it is read before anything is written. @throws CommandFailure */
function exportedIn(text: string): { readonly cluster: ClusterInformation; readonly writes: readonly Put[] } {
  const [resources, cluster, plan, ...more] = `\n${text}`.split(partSeparator);
  if (resources === undefined || cluster === undefined || plan === undefined || more.length > 0) {
    throw failure("the file is no export: three parts parted by lines of === are expected");
  }
  try {
    const writes = resources.split(/\n---\n/).flatMap((document, at) => resourcePut(document, at + 1));
    const planned = Object.entries(check(AnyMap, parseJson(plan, "part 3"), "part 3")).map(([key, value]): Put => {
      if (!key.startsWith(ipamPrefix))
        throw new BadInput("part 3", `"${key}" is no key of the address plan`, ipamPrefix);
      return { put: key, value: stringifyJson(value) };
    });
    const information = check(ClusterInformation, parseJson(cluster, "part 2"), "part 2");
    return { cluster: information, writes: [...writes, ...planned] };
  } catch (error) {
    if (error instanceof BadInput) throw failure(`the file is no export: ${error.message}`);
    throw error;
  }
}

const AnyMap = z.record(z.string(), z.unknown());

function resourcePut(document: string, number: number): readonly Put[] {
  if (document.trim() === "") return [];
  const path = `document ${number}`;
  let value: unknown;
  try {
    value = parseYaml(document);
  } catch (error) {
    throw new BadInput(path, describeError(error), "YAML");
  }
  const resource = check(AnyResource, value, path);
  const kind = kinds.find((known) => known === resource.kind);
  if (kind === undefined || resource.apiVersion !== apiVersion) {
    throw new BadInput(
      path,
      `unknown resource type (${resource.kind}) and/or version (${resource.apiVersion})`,
      apiVersion,
    );
  }
  return [{ put: keyOf(kind, resource), value: encode(resource) }];
}

function keyOf(kind: Kind, { metadata: { name, namespace } }: AnyResource): string {
  return resourceKey({ kind, name, ...(isNamespaced(kind) && namespace !== undefined ? { namespace } : {}) });
}

/** Empty, but for what anybody's first look puts there; or what an import of the same cluster has begun. */
async function refuseForeign(store: Store, cluster: ClusterInformation, own: ReadonlySet<string>): Promise<void> {
  const present = await readCluster(store);
  const begun = present?.locked === true && present.information.spec.clusterGUID === cluster.spec.clusterGUID;
  const harmless = new Set(initializationKeys);
  const { kvs } = await store.list("/calico/");
  const foreign = kvs.filter(({ key }) => !harmless.has(key) && !(begun && own.has(key)));
  const [first] = foreign;
  if (first !== undefined) {
    throw failure(`the datastore is not empty: it has ${foreign.length} other keys, for example ${first.key}`);
  }
}

function inParts(writes: readonly Put[]): readonly (readonly Put[])[] {
  const parts: Put[][] = [[]];
  let bytes = 0;
  for (const write of writes) {
    const size = write.put.length + write.value.length * 2;
    const full = (parts.at(-1)?.length ?? 0) >= keysPerTransaction || bytes + size > bytesPerTransaction;
    if (full) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(write);
    bytes += size;
  }
  return parts.filter((part) => part.length > 0);
}
