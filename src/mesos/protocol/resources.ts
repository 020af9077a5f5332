/**
 * Arithmetic over lists of Resource. Pure.
 *
 * - Scalars are fixed to three decimals: sums are made in thousandths, so nothing drifts over a million launches.
 * - Two resources are of one kind if name, type, role and every other mark (reservation, disk, revocable ...) agree;
 *   `allocation_info` is not a mark: it says to whom something is lent, and is put on and taken off as a whole.
 * - A list in normal form holds each kind once and nothing empty. Every function here answers in normal form.
 */

import { addRanges, coalesceRanges, containsRanges, formatRanges, subtractRanges } from "./ranges.ts";
import type { ReservationInfo, Resource } from "./resource-info.ts";

export type Resources = readonly Resource[];

const thousandths = 1_000;
/** 2^53 / 1000: above this thousandths are not exact. */
const scalarMax = 9_007_199_254_740;

export function normalizeResources(resources: readonly Resource[]): Resources {
  return addResources([], resources);
}

export function addResources(one: Resources, other: readonly Resource[]): Resources {
  const sum = [...one];
  for (const added of other) {
    const plain = withoutAllocation(added);
    const index = sum.findIndex((resource) => sameKind(resource, plain));
    const present = sum[index];
    const total = present === undefined ? inNormalForm(plain) : combine(present, plain);
    if (index >= 0) sum[index] = total;
    else if (!isEmpty(total)) sum.push(total);
  }
  return sum;
}

/** What is not there to be taken is ignored: ask containsResources first where it matters. */
export function subtractResources(from: Resources, what: readonly Resource[]): Resources {
  let rest: Resource[] = [...from];
  for (const taken of what) {
    rest = rest.flatMap((resource) => {
      if (!sameKind(resource, taken)) return [resource];
      const left = reduce(resource, taken);
      return isEmpty(left) ? [] : [left];
    });
  }
  return rest;
}

export function containsResources(whole: Resources, part: readonly Resource[]): boolean {
  return normalizeResources(part).every((wanted) => {
    const present = whole.find((resource) => sameKind(resource, wanted));
    return present !== undefined && covers(present, wanted);
  });
}

export function equalResources(one: Resources, other: Resources): boolean {
  return containsResources(one, other) && containsResources(other, one);
}

/** Sum of a scalar over all roles and kinds. */
export function scalarOf(resources: readonly Resource[], name: string): number {
  let sum = 0;
  for (const resource of resources) {
    if (resource.name === name && resource.type === "SCALAR") sum += toThousandths(resource.scalar?.value ?? 0);
  }
  return sum / thousandths;
}

/** The role that alone may use it; `*` for everybody. */
export function reservationRole(resource: Resource): string {
  return resource.reservations?.at(-1)?.role ?? resource.role ?? "*";
}

export function allocateTo(resources: readonly Resource[], role: string): Resources {
  return resources.map((resource) => ({ ...resource, allocation_info: { role } }));
}

export function withoutAllocation(resource: Resource): Resource {
  if (resource.allocation_info === undefined) return resource;
  const { allocation_info: _lent, ...plain } = resource;
  return plain;
}

/** The first thing wrong with a list as a sender wrote it, or undefined. */
export function resourcesProblem(resources: readonly Resource[]): string | undefined {
  const typeOf = new Map<string, string>();
  for (const resource of resources) {
    const problem = resourceProblem(resource);
    if (problem !== undefined) return problem;
    const seen = typeOf.get(resource.name);
    if (seen !== undefined && seen !== resource.type) {
      return `Resource '${resource.name}' is given with different types ${seen} and ${resource.type}`;
    }
    typeOf.set(resource.name, resource.type);
  }
  return undefined;
}

/** As Mesos prints them in messages: `cpus(prod):0.5; mem:128; ports:[31000-31000]`. */
export function formatResources(resources: readonly Resource[]): string {
  return resources
    .map((resource) => {
      const role = reservationRole(resource);
      return `${resource.name}${role === "*" ? "" : `(reservations: [(STATIC,${role})])`}:${formatValue(resource)}`;
    })
    .join("; ");
}

function formatValue(resource: Resource): string {
  if (resource.type === "SCALAR") return String(fixScalar(resource.scalar?.value ?? 0));
  if (resource.type === "RANGES") return formatRanges(resource.ranges?.range ?? []);
  return `{${(resource.set?.item ?? []).join(", ")}}`;
}

/** To the nearest thousandth. */
export function fixScalar(value: number): number {
  return toThousandths(value) / thousandths;
}

function toThousandths(value: number): number {
  return Math.round(value * thousandths);
}

function resourceProblem(resource: Resource): string | undefined {
  if (resource.name === "") return "Empty resource name";
  const asText = `${resource.name}:${formatValue(resource)}`;
  if (resource.type === "SCALAR") {
    const value = resource.scalar?.value;
    if (value === undefined || resource.ranges !== undefined || resource.set !== undefined) {
      return `Invalid scalar resource '${resource.name}'`;
    }
    if (!(value >= 0) || value > scalarMax) return `Invalid scalar resource '${asText}': not a non-negative number`;
    if (resource.name === "gpus" && !Number.isInteger(fixScalar(value))) {
      return "The 'gpus' resource must be an unsigned integer";
    }
    return undefined;
  }
  if (resource.type === "RANGES") {
    if (resource.ranges === undefined || resource.scalar !== undefined || resource.set !== undefined) {
      return `Invalid ranges resource '${resource.name}'`;
    }
    for (const range of resource.ranges.range ?? []) {
      if (!Number.isSafeInteger(range.begin) || !Number.isSafeInteger(range.end) || range.begin < 0) {
        return `Invalid ranges resource '${asText}': not whole numbers`;
      }
      if (range.begin > range.end) return `Invalid ranges resource '${asText}': lower bound exceeds upper bound`;
    }
    return undefined;
  }
  if (resource.type === "SET") {
    const items = resource.set?.item;
    if (resource.set === undefined || resource.scalar !== undefined || resource.ranges !== undefined) {
      return `Invalid set resource '${resource.name}'`;
    }
    return new Set(items).size === (items?.length ?? 0)
      ? undefined
      : `Invalid set resource '${resource.name}': duplicated elements`;
  }
  return `Unsupported resource type ${resource.type} of '${resource.name}'`;
}

function sameKind(one: Resource, other: Resource): boolean {
  if (one.name !== other.name || one.type !== other.type) return false;
  return marksOf(one) === marksOf(other);
}

/** Everything besides name, type, value and allocation that must agree, as one text; the usual case costs no JSON. */
function marksOf(resource: Resource): string {
  const { reservation, reservations, disk, revocable, shared } = resource;
  if (reservation === undefined && reservations === undefined && disk === undefined) {
    if (revocable === undefined && shared === undefined && resource.provider_id === undefined) {
      return resource.role ?? "*";
    }
  }
  const stack = reservationStack(resource);
  const marks = [disk ?? null, revocable ?? null, shared ?? null, resource.provider_id?.value ?? null];
  const [first] = stack;
  const onlyRole = stack.length === 0 ? "*" : stack.length === 1 && isPlainStatic(first) ? first?.role : undefined;
  if (onlyRole !== undefined && marks.every((mark) => mark === null)) return onlyRole;
  return JSON.stringify([stack, ...marks]);
}

/** Old form (`role`, `reservation`) and new form (`reservations`) of one reservation are the same mark. */
function reservationStack(resource: Resource): readonly ReservationInfo[] {
  if (resource.reservations !== undefined) return resource.reservations;
  if (resource.role === undefined || resource.role === "*") return [];
  const type = resource.reservation === undefined ? "STATIC" : "DYNAMIC";
  return [{ type, role: resource.role, ...resource.reservation }];
}

function isPlainStatic(reservation: ReservationInfo | undefined): boolean {
  return reservation?.type === "STATIC" && reservation.principal === undefined && reservation.labels === undefined;
}

function inNormalForm(resource: Resource): Resource {
  switch (resource.type) {
    case "SCALAR":
      return { ...resource, scalar: { value: fixScalar(resource.scalar?.value ?? 0) } };
    case "RANGES":
      return { ...resource, ranges: { range: coalesceRanges(resource.ranges?.range ?? []) } };
    default:
      return resource;
  }
}

function combine(one: Resource, other: Resource): Resource {
  switch (one.type) {
    case "SCALAR":
      return {
        ...one,
        scalar: {
          value: (toThousandths(one.scalar?.value ?? 0) + toThousandths(other.scalar?.value ?? 0)) / thousandths,
        },
      };
    case "RANGES":
      return { ...one, ranges: { range: addRanges(one.ranges?.range ?? [], other.ranges?.range ?? []) } };
    default:
      return { ...one, set: { item: [...new Set([...(one.set?.item ?? []), ...(other.set?.item ?? [])])] } };
  }
}

function reduce(from: Resource, what: Resource): Resource {
  switch (from.type) {
    case "SCALAR": {
      const left = toThousandths(from.scalar?.value ?? 0) - toThousandths(what.scalar?.value ?? 0);
      return { ...from, scalar: { value: Math.max(0, left) / thousandths } };
    }
    case "RANGES":
      return { ...from, ranges: { range: subtractRanges(from.ranges?.range ?? [], what.ranges?.range ?? []) } };
    default: {
      const gone = new Set(what.set?.item ?? []);
      return { ...from, set: { item: (from.set?.item ?? []).filter((item) => !gone.has(item)) } };
    }
  }
}

function covers(whole: Resource, part: Resource): boolean {
  switch (whole.type) {
    case "SCALAR":
      return toThousandths(whole.scalar?.value ?? 0) >= toThousandths(part.scalar?.value ?? 0);
    case "RANGES":
      return containsRanges(whole.ranges?.range ?? [], part.ranges?.range ?? []);
    default: {
      const items = new Set(whole.set?.item ?? []);
      return (part.set?.item ?? []).every((item) => items.has(item));
    }
  }
}

function isEmpty(resource: Resource): boolean {
  switch (resource.type) {
    case "SCALAR":
      return toThousandths(resource.scalar?.value ?? 0) <= 0;
    case "RANGES":
      return (resource.ranges?.range ?? []).length === 0;
    default:
      return (resource.set?.item ?? []).length === 0;
  }
}
