/**
 * Values of a template: documents as JSON has them, where templates of Calico's users speak of Go's structures. A field is
 * found by its name whatever the case of its letters (.Spec.CIDR is spec.cidr); .ObjectMeta is the metadata, whose fields
 * also stand for themselves (.Name).
 */

import { BadInput } from "../../../../base/errors.ts";
import { goFloat } from "../go-float.ts";

/** Undefined when it is not there. @throws BadInput for a field of what has none */
export function fieldOf(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) {
    throw new BadInput(`.${name}`, `can't evaluate field ${name} in a list`, "{{range .}} around it");
  }
  if (typeof value !== "object") throw new BadInput(`.${name}`, `can't evaluate field ${name} in a text`, "an object");
  const object = value as Readonly<Record<string, unknown>>;
  const found = memberOf(object, name);
  if (found !== undefined) return found;
  const metadata = object.metadata;
  if (typeof metadata !== "object" || metadata === null) return undefined;
  if (name === "ObjectMeta" || name === "ListMeta") return metadata;
  return name === "TypeMeta" ? object : memberOf(metadata as Readonly<Record<string, unknown>>, name);
}

function memberOf(object: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const wanted = name.toLowerCase();
  const key = Object.keys(object).find((one) => one.toLowerCase() === wanted);
  return key === undefined ? undefined : object[key];
}

export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go's %v prints it. */
export function goText(value: unknown): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : goFloat(value);
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${members.map(([name, one]) => `${name}:${goText(one)}`).join(" ")}]`;
}
