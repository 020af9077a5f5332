/** Takes scalars and ports out of offered resources, keeping every mark (role, reservation, allocation) as offered. Pure. */

import { subtractRanges } from "../../mesos/protocol/ranges.ts";
import type { Resource } from "../../mesos/protocol/resource-info.ts";
import { fixScalar } from "../../mesos/protocol/resources.ts";
import type { Range } from "../../mesos/protocol/values.ts";

export interface TakenScalar {
  readonly taken: readonly Resource[];
  readonly left: readonly Resource[];
}

/** Undefined if there is not enough. Nothing wanted takes nothing. */
export function takeScalar(resources: readonly Resource[], name: string, amount: number): TakenScalar | undefined {
  let missing = fixScalar(amount);
  const taken: Resource[] = [];
  const left: Resource[] = [];
  for (const resource of resources) {
    const offered = resource.name === name && resource.type === "SCALAR" ? (resource.scalar?.value ?? 0) : 0;
    const part = fixScalar(Math.min(missing, offered));
    if (part <= 0) {
      left.push(resource);
      continue;
    }
    missing = fixScalar(missing - part);
    taken.push({ ...resource, scalar: { value: part } });
    const rest = fixScalar(offered - part);
    if (rest > 0) left.push({ ...resource, scalar: { value: rest } });
  }
  return missing > 0 ? undefined : { taken, left };
}

export interface TakenPorts extends TakenScalar {
  /** In the order wanted. */
  readonly ports: readonly number[];
}

/** @param wanted exact numbers, or 0 for any. */
export function takePorts(
  resources: readonly Resource[],
  wanted: readonly number[],
  random: () => number,
): TakenPorts | undefined {
  const fixed = wanted.filter((port) => port !== 0);
  if (new Set(fixed).size < fixed.length) return undefined;
  const free = resources.flatMap((resource) =>
    resource.name === "ports" ? subtractRanges(resource.ranges?.range ?? [], fixed.map(single)) : [],
  );
  const dynamic = pickPorts(free, wanted.length - fixed.length, random);
  if (dynamic === undefined) return undefined;
  const remaining = [...dynamic];
  const ports = wanted.map((port) => (port === 0 ? (remaining.shift() ?? 0) : port));
  const taken: Resource[] = [];
  const left: Resource[] = [];
  let missing = new Set(ports);
  for (const resource of resources) {
    const ranges = resource.name === "ports" ? (resource.ranges?.range ?? []) : [];
    const here = [...missing].filter((port) => ranges.some(({ begin, end }) => begin <= port && port <= end));
    if (here.length === 0) {
      left.push(resource);
      continue;
    }
    missing = new Set([...missing].filter((port) => !here.includes(port)));
    taken.push({ ...resource, ranges: { range: here.sort((a, b) => a - b).map(single) } });
    const rest = subtractRanges(ranges, here.map(single));
    if (rest.length > 0) left.push({ ...resource, ranges: { range: rest } });
  }
  return missing.size > 0 ? undefined : { ports, taken, left };
}

/** Consecutive positions from a random one on, over all ranges. */
function pickPorts(free: readonly Range[], count: number, random: () => number): readonly number[] | undefined {
  const total = free.reduce((sum, { begin, end }) => sum + end - begin + 1, 0);
  if (count > total) return undefined;
  const start = Math.floor(random() * total);
  return Array.from({ length: count }, (_value, index) => portAt(free, (start + index) % total));
}

function portAt(free: readonly Range[], position: number): number {
  let rest = position;
  for (const { begin, end } of free) {
    const size = end - begin + 1;
    if (rest < size) return begin + rest;
    rest -= size;
  }
  return 0;
}

function single(port: number): Range {
  return { begin: port, end: port };
}
