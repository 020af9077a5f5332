/** Which offers an app's placement constraints accept (reference: marathon-behaviour 6). Pure. */

import type { Attribute, Ranges } from "../../mesos/protocol/values.ts";
import type { Constraint } from "../app/app.ts";
import { compilePattern } from "../app/constraint-validation.ts";

/** A place: the offer's host and attributes as text. */
export type Place = Readonly<Record<string, string>>;

export function placeOf(
  hostname: string,
  attributes: readonly Attribute[],
  domain: { readonly region: { readonly name: string }; readonly zone: { readonly name: string } } | undefined,
): Place {
  const place: Record<string, string> = {};
  for (const attribute of attributes) {
    const text = attributeText(attribute);
    if (text !== undefined && !(attribute.name in place)) place[attribute.name] = text;
  }
  if (domain !== undefined) {
    place["@region"] = domain.region.name;
    place["@zone"] = domain.zone.name;
  }
  return { ...place, hostname, "@hostname": hostname };
}

export function attributeText(attribute: Attribute): string | undefined {
  switch (attribute.type) {
    case "TEXT":
      return attribute.text?.value;
    case "SCALAR":
      return numberText(attribute.scalar?.value ?? 0);
    case "RANGES":
      return rangesText(attribute.ranges);
    case "SET":
      return `{${[...(attribute.set?.item ?? [])].sort().join(",")}}`;
    default:
      return undefined;
  }
}

/** At most three decimals, none if whole: `0.###`. */
function numberText(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}

function rangesText(ranges: Ranges | undefined): string {
  const sorted = [...(ranges?.range ?? [])].sort((a, b) => a.begin - b.begin);
  return `[${sorted.map(({ begin, end }) => `${begin}-${end}`).join(",")}]`;
}

/** @param placed places of the app's other instances of the present configuration. */
export function acceptsPlace(constraints: readonly Constraint[], place: Place, placed: readonly Place[]): boolean {
  return constraints.every((constraint) => acceptedBy(constraint, place, placed));
}

function acceptedBy({ field, operator, value }: Constraint, place: Place, placed: readonly Place[]): boolean {
  const here = place[field];
  if (here === undefined) return operator === "UNLIKE";
  const others = placed.map((other) => other[field]);
  switch (operator) {
    case "UNIQUE":
      return !others.includes(here);
    case "CLUSTER": {
      if (value !== undefined && value !== "") return here === value;
      const first = others.find((other) => other !== undefined);
      return first === undefined || first === here;
    }
    case "GROUP_BY":
      return groupBy(here, others, value === undefined ? 0 : Number(value));
    case "LIKE":
      return compilePattern(value ?? "")?.test(here) ?? false;
    case "UNLIKE":
      return !(compilePattern(value ?? "")?.test(here) ?? true);
    case "MAX_PER":
      return others.filter((other) => other === here).length < Number(value);
    case "IS":
      return here === value || isSameNumber(here, value ?? "");
    default:
      return false;
  }
}

/** A new group while fewer than the minimum are seen, then only one of the smallest. */
function groupBy(here: string, others: readonly (string | undefined)[], groupsMin: number): boolean {
  const sizes = new Map<string, number>();
  for (const other of others) if (other !== undefined) sizes.set(other, (sizes.get(other) ?? 0) + 1);
  const size = sizes.get(here);
  if (size === undefined) return true;
  if (sizes.size < groupsMin) return false;
  return size <= Math.min(...sizes.values());
}

function isSameNumber(here: string, value: string): boolean {
  if (here.trim() === "" || value.trim() === "") return false;
  return Math.round(Number(here) * 1000) === Math.round(Number(value) * 1000);
}
