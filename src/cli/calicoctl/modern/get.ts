/** `calicoctl get`: resources of a kind, those of some names, or those that a file names (calicoctl.md 4.5). */

import { z } from "zod";
import { BadInput } from "../../../base/errors.ts";
import { defaultAllowProfile } from "../../../model/default-profile.ts";
import { kindPrefix, resourceKey } from "../../../model/keys.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import { AnyResource, decode } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { type CellContext, type KindView, kindViews, viewOfKind } from "./get-kinds.ts";
import { type OutputForm, outputOf, parseOutput, resultOf } from "./get-output.ts";
import { getUsage } from "./get-usage.ts";
import { kindOfWord } from "./kind-words.ts";
import { doesNotExist, type ResourceId } from "./resource-error.ts";
import { readResource, shownResource } from "./resource-reader.ts";
import { fileFlags, readWords } from "./words.ts";

interface Wish {
  readonly output: OutputForm;
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly exported: boolean;
}

const refusal = (problem: string) => new CommandFailure("stderr", `${problem}\n`);
const requestRefusal = (problem: string) => refusal(`failed to get resources: ${problem}`);

export async function get(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args.map((word) => (word === "-a" ? "-A" : word)),
    {
      output: { type: "string", short: "o", default: "ps" },
      ...fileFlags,
      "all-namespaces": { type: "boolean", short: "A", default: false },
      export: { type: "boolean", default: false },
    },
    getUsage,
  );
  const { filename: source, recursive, namespace } = values;
  const wish: Wish = {
    output: parseOutput(values.output),
    namespace,
    allNamespaces: values["all-namespaces"],
    exported: values.export,
  };
  if (namespace !== undefined && wish.allNamespaces) {
    throw refusal("cannot use both --namespace and --all-namespaces flags at the same time");
  }
  if (source !== undefined) {
    if (positionals.length > 0) throw new UsageError(getUsage);
    // The rules of every kind: loaded by those who read files.
    const { fileTasks } = await import("./file-resources.ts");
    const file = { source, recursive, namespace, skipEmpty: values["skip-empty"] };
    const ids = (await fileTasks(context, "get", file)).map(({ id }) => id);
    if (ids.length > 0) return await getNamed(context, ids, wish);
    context.io.stdout("No resources specified\n");
    return 0;
  }
  const [word, ...names] = positionals;
  if (word === undefined) {
    const known = kindViews.map(({ aliases }) => aliases[0]).join(", ");
    throw refusal(`resource kind or --filename required; valid kinds: ${known}`);
  }
  const view = viewOfKind(kindOfWord(word, requestRefusal));
  refuseScope(view, names, wish);
  if (names.length === 0) return await getList(context, view, wish);
  const scope = isNamespaced(view.kind) ? { namespace: namespace ?? "default" } : {};
  const ids = names.map((name) => ({ kind: view.kind, name, ...scope }));
  return await getNamed(context, ids, wish);
}

function refuseScope({ kind }: KindView, names: readonly string[], { namespace, allNamespaces }: Wish): void {
  if (names.includes("")) throw requestRefusal("resource name may not be empty");
  const bad = names.find((name) => name.includes("/"));
  if (bad !== undefined) throw requestRefusal(`"${bad}" cannot be a name`);
  if (!isNamespaced(kind) && (namespace !== undefined || allNamespaces)) throw refusal(`${kind} is not namespaced`);
  if (names.length > 0 && allNamespaces) throw refusal("cannot use --all-namespace flag for getting a single resource");
}

async function getList({ io, store }: CalicoctlContext, view: KindView, wish: Wish): Promise<number> {
  const { kind } = view;
  const opened = await store();
  const namespace = isNamespaced(kind) && !wish.allNamespaces ? (wish.namespace ?? "default") : undefined;
  const { revision, kvs } = await opened.list(kindPrefix(kind, namespace));
  const list = kvs.flatMap((kv) => shownResource(kv, kind) ?? []);
  if (kind === "Profile") list.unshift(defaultAllowProfile as AnyResource);
  list.sort(byOrderThenName(view));
  const showNamespace = wish.allNamespaces || wish.namespace !== undefined;
  const cells = await cellContext(opened, view, wish);
  io.stdout(await outputOf(wish.output, [{ view, list, revision }], cells, showNamespace));
  if (list.length === 0 && namespace !== undefined) await hintElsewhere(opened, view, namespace, io.stderr);
  return 0;
}

async function getNamed({ io, store }: CalicoctlContext, ids: readonly ResourceId[], wish: Wish): Promise<number> {
  const opened = await store();
  const found: AnyResource[] = [];
  const missing: ResourceId[] = [];
  for (const id of ids) {
    const resource = await readResource(opened, id);
    if (resource === undefined) missing.push(id);
    else found.push(wish.exported ? exported(resource) : resource);
  }
  const results = found.map(resultOf);
  const context = await cellContext(opened, results[0]?.view, wish);
  io.stdout(await outputOf(wish.output, results, context, wish.namespace !== undefined));
  for (const id of missing) io.stderr(`${doesNotExist(id).message}\n`);
  return missing.length === 0 ? 0 : 1;
}

/** Without what only holds in this cluster. */
function exported(resource: AnyResource): AnyResource {
  const {
    namespace: _namespace,
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _created,
    deletionTimestamp: _deleted,
    deletionGracePeriodSeconds: _grace,
    ...metadata
  } = resource.metadata;
  return { ...resource, metadata };
}

function byOrderThenName({ kind }: KindView): (a: AnyResource, b: AnyResource) => number {
  const order = ({ spec }: AnyResource) => (typeof spec?.order === "number" ? spec.order : Number.MAX_VALUE);
  const name = ({ metadata }: AnyResource) => `${metadata.namespace ?? ""}/${metadata.name}`;
  return (a, b) => {
    const difference = kind === "Tier" ? order(a) - order(b) : 0;
    return difference !== 0 ? difference : name(a) < name(b) ? -1 : 1;
  };
}

const AsNumberOwner = z.looseObject({
  spec: z.looseObject({ asNumber: z.union([z.string(), z.number()]).optional() }),
});
const asNumberDefault = "64512";

/** Asks for the cluster's AS number only where something shows it. */
async function cellContext(store: Store, view: KindView | undefined, { output }: Wish): Promise<CellContext> {
  const shown =
    output.kind === "template" || (view?.kind === "Node" && (output.kind === "wide" || output.kind === "columns"));
  if (!shown) return { asNumber: asNumberDefault };
  const key = resourceKey({ kind: "BGPConfiguration", name: "default" });
  const kv = await store.get(key);
  if (kv === undefined) return { asNumber: asNumberDefault };
  try {
    const { asNumber = asNumberDefault } = AsNumberOwner.safeParse(decode(AnyResource, kv.value, key)).data?.spec ?? {};
    return { asNumber: String(asNumber) };
  } catch (error) {
    if (error instanceof BadInput) return { asNumber: "unknown" };
    throw error;
  }
}

/** Docker's endpoints live in a namespace of their own, where users of the old stack do not look first. */
async function hintElsewhere(
  store: Store,
  { kind }: KindView,
  namespace: string,
  say: (text: string) => void,
): Promise<void> {
  const { kvs } = await store.list(kindPrefix(kind));
  if (kvs.length > 0) say(`(none in namespace ${namespace}; ${kvs.length} in others: use --all-namespaces)\n`);
}
