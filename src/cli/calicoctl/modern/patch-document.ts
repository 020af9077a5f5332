/**
 * The three ways to change a document by a patch, as pure functions: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396) and
 * Kubernetes' strategic merge, which is a merge whose patch may carry directives ($patch, $retainKeys,
 * $deleteFromPrimitiveList). Lists of Calico's resources have no merge keys: a list in a patch replaces the list.
 */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { BadInput, unreachable } from "../../../base/errors.ts";

export const patchTypes = ["strategic", "json", "merge"] as const;
export type PatchType = (typeof patchTypes)[number];

type Fields = Record<string, unknown>;

/** @throws BadInput for a patch that is none of its type or does not fit the document */
export function patched(document: unknown, patch: unknown, type: PatchType): unknown {
  if (type === "json") return jsonPatched(document, patch);
  if (!isFields(patch)) throw new BadInput("patch", "is not an object", "a part of the resource, as JSON or YAML");
  return type === "merge" ? merged(document, patch) : strategicallyMerged(document, patch);
}

/** RFC 7396, section 2 */
function merged(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const result: Fields = isFields(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function strategicallyMerged(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const { $patch: directive, $retainKeys: retained, ...fields } = patch;
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "replace" && directive !== "merge") {
    throw new BadInput("patch.$patch", `unknown directive ${JSON.stringify(directive)}`, "replace, merge or delete");
  }
  let result: Fields = directive !== "replace" && isFields(target) ? { ...target } : {};
  if (Array.isArray(retained)) {
    result = Object.fromEntries(Object.entries(result).filter(([name]) => retained.includes(name)));
  }
  for (const [name, value] of Object.entries(fields)) {
    const [command, list] = name.split("/", 2);
    if (command === "$setElementOrder") continue;
    if (command === "$deleteFromPrimitiveList" && list !== undefined) {
      const gone: readonly unknown[] = Array.isArray(value) ? value : [];
      if (Array.isArray(result[list])) result[list] = result[list].filter((one: unknown) => !gone.includes(one));
    } else if (command?.startsWith("$")) {
      throw new BadInput(`patch.${name}`, "unknown directive", "$patch, $retainKeys or $deleteFromPrimitiveList");
    } else if (value === null || (isFields(value) && value.$patch === "delete")) delete result[name];
    else result[name] = strategicallyMerged(result[name], value);
  }
  return result;
}

const Pointer = z.string().regex(/^(\/([^~/]|~[01])*)*$/, "is not a JSON pointer");
const Steps = z
  .array(
    z.discriminatedUnion("op", [
      z.object({ op: z.literal("add"), path: Pointer, value: z.unknown() }),
      z.object({ op: z.literal("replace"), path: Pointer, value: z.unknown() }),
      z.object({ op: z.literal("test"), path: Pointer, value: z.unknown() }),
      z.object({ op: z.literal("remove"), path: Pointer }),
      z.object({ op: z.literal("move"), path: Pointer, from: Pointer }),
      z.object({ op: z.literal("copy"), path: Pointer, from: Pointer }),
    ]),
  )
  .min(1);
type Step = z.infer<typeof Steps>[number];

function jsonPatched(document: unknown, patch: unknown): unknown {
  const { data, error } = Steps.safeParse(patch);
  if (data === undefined) {
    const [issue] = error.issues;
    const where = ["patch", ...(issue?.path ?? [])].join("/");
    throw new BadInput(
      where,
      issue?.message ?? "is no JSON patch",
      '[{"op": "replace", "path": "/spec/...", "value": ...}]',
    );
  }
  // Values that a patch puts in twice must not be one object.
  const holder = { root: structuredClone(document) };
  for (const [at, step] of data.entries()) carryOut(holder, step, `patch/${at}`);
  return holder.root;
}

function carryOut(holder: { root: unknown }, step: Step, where: string): void {
  switch (step.op) {
    case "add":
      put(holder, step.path, structuredClone(step.value), true, where);
      break;
    case "replace":
      put(holder, step.path, structuredClone(step.value), false, where);
      break;
    case "remove":
      take(holder, step.path, where);
      break;
    case "copy":
      put(holder, step.path, structuredClone(valueAt(holder, step.from, where)), true, where);
      break;
    case "move":
      if (step.path.startsWith(`${step.from}/`)) throw new BadInput(where, "moves a value into itself", "another path");
      put(holder, step.path, take(holder, step.from, where), true, where);
      break;
    case "test":
      if (isDeepStrictEqual(valueAt(holder, step.path, where), step.value)) break;
      throw new BadInput(where, `test of ${step.path} failed`, "the document as the patch expects it");
    default:
      unreachable(step);
  }
}

function stepsOf(path: string): readonly string[] {
  // The document stands in a holder, so that it can be replaced as a whole.
  const inside = path.split("/").slice(1);
  return ["root", ...inside.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))];
}

interface Place {
  readonly parent: Fields | unknown[];
  readonly name: string;
}

function placeOf(holder: { root: unknown }, path: string, where: string): Place {
  const steps = stepsOf(path);
  let parent: unknown = holder;
  for (const step of steps.slice(0, -1)) parent = isContainer(parent) ? memberOf(parent, step) : undefined;
  if (!isContainer(parent)) throw new BadInput(where, `path ${path} does not exist`, "a path of the document");
  return { parent, name: steps.at(-1) ?? "" };
}

function valueAt(holder: { root: unknown }, path: string, where: string): unknown {
  const { parent, name } = placeOf(holder, path, where);
  const value = memberOf(parent, name);
  if (value === undefined) throw new BadInput(where, `path ${path} does not exist`, "a path of the document");
  return value;
}

function put(holder: { root: unknown }, path: string, value: unknown, insert: boolean, where: string): void {
  const { parent, name } = placeOf(holder, path, where);
  if (!insert) valueAt(holder, path, where);
  if (!Array.isArray(parent)) {
    Object.defineProperty(parent, name, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  const at = insert && name === "-" ? parent.length : indexOf(name);
  if (at === undefined || at > parent.length) {
    throw new BadInput(where, `path ${path} is outside of the list`, `0 to ${parent.length}, or -`);
  }
  parent.splice(at, insert ? 0 : 1, value);
}

function take(holder: { root: unknown }, path: string, where: string): unknown {
  const value = valueAt(holder, path, where);
  const { parent, name } = placeOf(holder, path, where);
  if (Array.isArray(parent)) parent.splice(Number(name), 1);
  else delete parent[name];
  return value;
}

function memberOf(parent: Fields | unknown[], name: string): unknown {
  if (!Array.isArray(parent)) return Object.hasOwn(parent, name) ? parent[name] : undefined;
  const at = indexOf(name);
  return at === undefined ? undefined : parent[at];
}

function indexOf(name: string): number | undefined {
  return /^(0|[1-9]\d*)$/.test(name) ? Number(name) : undefined;
}

function isContainer(value: unknown): value is Fields | unknown[] {
  return typeof value === "object" && value !== null;
}

function isFields(value: unknown): value is Fields {
  return isContainer(value) && !Array.isArray(value);
}
