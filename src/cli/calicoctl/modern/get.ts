/** `calicoctl get KIND [NAME...] [-o ps|wide|yaml|json|name] [-n NS] [-A]` (calicoctl.md 4.5) */

import { parseArgs } from "node:util";
import { stringify as yamlOf } from "yaml";
import { BadInput } from "../../../base/errors.ts";
import { stringifyJson } from "../../../model/json.ts";
import { kindPrefix, parseResourceKey } from "../../../model/keys.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import { policyNameOf } from "../../../model/policy-names.ts";
import { isTieredPolicy } from "../../../model/policy-resource.ts";
import { defaultAllowProfile } from "../../../model/profile.ts";
import { AnyResource, apiVersion, decode } from "../../../model/resource.ts";
import type { KeyValue, Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { type KindView, kindViews, viewOf } from "./get-kinds.ts";
import { tabTable } from "./tab-table.ts";

export const getUsage = `Usage:
  calicoctl get KIND [NAME...] [-o ps|wide|yaml|json|name] [-n NAMESPACE] [-A | --all-namespaces]

KIND is one of: ${kindViews.map(({ aliases }) => aliases[0]).join(", ")}
`;

const policyAnnotation = "projectcalico.org/metadata";

interface Wish {
  readonly view: KindView;
  readonly names: readonly string[];
  readonly output: string;
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
}

export async function get({ io, store }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const wish = readWish(args);
  const opened = await store();
  const { revision, kvs } = await opened.list(prefixOf(wish));
  const all = kvs.flatMap((kv) => resourceOf(kv, wish));
  if (wish.view.kind === "Profile") all.unshift(defaultAllowProfile as AnyResource);
  all.sort(byOrderThenName(wish));
  if (wish.names.length === 0) {
    io.stdout(listOutput(wish, all, revision));
    if (all.length === 0) await hintElsewhere(opened, wish, io.stderr);
    return 0;
  }
  const found = wish.names.map((name) => ({ name, resource: all.find((resource) => isNamed(resource, name, wish)) }));
  const present = found.flatMap(({ resource }) => resource ?? []);
  if (present.length > 0) io.stdout(namedOutput(wish, present));
  const missing = found.filter(({ resource }) => resource === undefined);
  for (const { name } of missing) io.stderr(`resource does not exist: ${identifier(wish, name)} with error: <nil>\n`);
  return missing.length === 0 ? 0 : 1;
}

function readWish(args: readonly string[]): Wish {
  const { values, positionals } = parsed(args);
  const [word, ...names] = positionals;
  if (word === undefined) throw new UsageError(getUsage);
  const view = viewOf(word);
  if (view === undefined) {
    throw new CommandFailure("stderr", `failed to get resources: resource type '${word}' is not supported\n`);
  }
  if (names.includes(""))
    throw new CommandFailure("stderr", "failed to get resources: resource name may not be empty\n");
  const output = values.output ?? "ps";
  if (!["ps", "wide", "yaml", "yml", "json", "name"].includes(output)) {
    throw new CommandFailure("stderr", `unrecognized output format '${output}'\n`);
  }
  const allNamespaces = values["all-namespaces"] || args.includes("-a");
  return { view, names, output, namespace: values.namespace, allNamespaces };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: args.filter((arg) => arg !== "-a"),
      allowPositionals: true,
      options: {
        output: { type: "string", short: "o" },
        namespace: { type: "string", short: "n" },
        "all-namespaces": { type: "boolean", short: "A", default: false },
      },
    });
  } catch {
    throw new UsageError(getUsage);
  }
}

function prefixOf({ view, namespace, allNamespaces }: Wish): string {
  if (!isNamespaced(view.kind) || allNamespaces) return kindPrefix(view.kind);
  return kindPrefix(view.kind, namespace ?? "default");
}

/** A value that does not parse is left out of lists, as by every reader of this keyspace. */
function resourceOf({ key, value, modRevision }: KeyValue, { view }: Wish): readonly AnyResource[] {
  if (parseResourceKey(key)?.kind !== view.kind) return [];
  try {
    const resource = decode(AnyResource, value, key);
    const { annotations, ...metadata } = resource.metadata;
    const { [policyAnnotation]: _hidden, ...shown } = annotations ?? {};
    return [
      {
        ...resource,
        metadata: {
          ...metadata,
          name: isTieredPolicy(view.kind) ? policyNameOf(resource) : metadata.name,
          ...(Object.keys(shown).length === 0 ? {} : { annotations: shown }),
          resourceVersion: String(modRevision),
        },
      },
    ];
  } catch (error) {
    if (error instanceof BadInput) return [];
    throw error;
  }
}

function byOrderThenName({ view }: Wish): (a: AnyResource, b: AnyResource) => number {
  const order = (resource: AnyResource) => Number(view.cell(resource, "ORDER").replace("<nil>", "Infinity"));
  const name = ({ metadata }: AnyResource) => `${metadata.namespace ?? ""}/${metadata.name}`;
  return (a, b) => {
    const difference = view.kind === "Tier" ? order(a) - order(b) || 0 : 0;
    return difference !== 0 ? difference : name(a) < name(b) ? -1 : 1;
  };
}

function isNamed({ metadata }: AnyResource, name: string, { view, namespace, allNamespaces }: Wish): boolean {
  if (metadata.name !== name) return false;
  return !isNamespaced(view.kind) || allNamespaces || metadata.namespace === (namespace ?? "default");
}

function identifier({ view, namespace }: Wish, name: string): string {
  return isNamespaced(view.kind) ? `${view.kind}(${namespace ?? "default"}/${name})` : `${view.kind}(${name})`;
}

function listOutput(wish: Wish, resources: readonly AnyResource[], revision: number): string {
  if (wish.output === "ps" || wish.output === "wide" || wish.output === "name") return tableOf(wish, resources);
  return documentOf(wish, {
    kind: `${wish.view.kind}List`,
    apiVersion,
    metadata: { resourceVersion: String(revision) },
    items: resources,
  });
}

/** One table per resource; one document, or an array of several. */
function namedOutput(wish: Wish, resources: readonly AnyResource[]): string {
  if (wish.output === "ps" || wish.output === "wide" || wish.output === "name") {
    return resources.map((resource) => tableOf(wish, [resource])).join("");
  }
  return documentOf(wish, resources.length === 1 ? resources[0] : resources);
}

function documentOf({ output }: Wish, document: unknown): string {
  if (output === "json") return stringifyJson(document, 2);
  return yamlOf(JSON.parse(stringifyJson(document)), { sortMapEntries: true, lineWidth: 0 });
}

function tableOf({ view, output, namespace, allNamespaces }: Wish, resources: readonly AnyResource[]): string {
  if (output === "name")
    return resources.map(({ metadata }) => `${view.kind.toLowerCase()}/${metadata.name}\n`).join("");
  const columns = output === "wide" ? view.wide : view.columns;
  const spaced = isNamespaced(view.kind) && (allNamespaces || namespace !== undefined);
  const rows = resources.map((resource) => [
    ...(spaced ? [resource.metadata.namespace ?? ""] : []),
    ...columns.map((column) => view.cell(resource, column)),
  ]);
  return tabTable([...(spaced ? ["NAMESPACE"] : []), ...columns], rows);
}

/** Docker's endpoints live in a namespace of their own, where users of the old stack do not look first. */
async function hintElsewhere(
  store: Store,
  { view, namespace, allNamespaces }: Wish,
  say: (text: string) => void,
): Promise<void> {
  if (!isNamespaced(view.kind) || allNamespaces) return;
  const { kvs } = await store.list(kindPrefix(view.kind));
  if (kvs.length === 0) return;
  say(`(none in namespace ${namespace ?? "default"}; ${kvs.length} in others: use --all-namespaces)\n`);
}
