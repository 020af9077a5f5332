/** The texts of `--resources` and `--attributes` (reference: mesos-behaviour 4.1, 4.2). */

import { BadInput } from "../../base/errors.ts";
import { coalesceRanges } from "./ranges.ts";
import type { Resource } from "./resource-info.ts";
import { normalizeResources, type Resources, resourcesProblem } from "./resources.ts";
import type { Attribute, Range } from "./values.ts";

/** `cpus:4;mem:1024;ports:[31000-32000,33000-33100];disk(prod):4096;bugs:{a,b}`, or a JSON list of Resource. */
export function parseResources(text: string, path: string, defaultRole = "*"): Resources {
  const resources = /^\s*\[\s*(\{|\])/.test(text) ? parseJsonList(text, path) : parseWords(text, path, defaultRole);
  const problem = resourcesProblem(resources);
  if (problem !== undefined) throw new BadInput(path, problem, "resources such as cpus:4;mem:1024;ports:[31000-32000]");
  return normalizeResources(resources);
}

/** The names given, also those given as 0, which are dropped from the result: `cpus:0` means none and no detection. */
export function resourceNames(text: string): ReadonlySet<string> {
  return new Set(
    text
      .split(/[;\n]/)
      .map((word) => word.replaceAll(/\s/g, "").split(/[:(]/, 1)[0] ?? "")
      .filter((name) => name !== ""),
  );
}

/** `rack:r7;level:10;zone:[1-3]`; only the first colon splits; order and repetition are kept. */
export function parseAttributes(text: string, path: string): readonly Attribute[] {
  return text
    .split(/[;\n]/)
    .map((word) => word.replaceAll(/\s/g, ""))
    .filter((word) => word !== "")
    .map((word) => {
      const colon = word.indexOf(":");
      if (colon <= 0 || colon === word.length - 1) {
        throw new BadInput(path, `"${word}" is not an attribute`, "name:value pairs joined by ;");
      }
      const name = word.slice(0, colon);
      const value = word.slice(colon + 1);
      if (isNumber(value)) return { name, type: "SCALAR", scalar: { value: Number(value) } } as const;
      if (value.startsWith("[")) return { name, type: "RANGES", ranges: { range: parseRanges(value, path) } } as const;
      return { name, type: "TEXT", text: { value } } as const;
    });
}

function parseWords(text: string, path: string, defaultRole: string): Resource[] {
  return text
    .split(/[;\n]/)
    .map((word) => word.replaceAll(/\s/g, ""))
    .filter((word) => word !== "")
    .map((word) => {
      const match = /^([^:()]+)(?:\(([^()]+)\))?:(.+)$/.exec(word);
      const [, name, role, value] = match ?? [];
      if (name === undefined || value === undefined) {
        throw new BadInput(path, `"${word}" is not a resource`, "name:value or name(role):value");
      }
      return { name, ...parseValue(value, word, path), role: role ?? defaultRole };
    });
}

function parseValue(value: string, word: string, path: string): Pick<Resource, "type" | "scalar" | "ranges" | "set"> {
  if (isNumber(value)) return { type: "SCALAR", scalar: { value: Number(value) } };
  if (value.startsWith("[")) return { type: "RANGES", ranges: { range: parseRanges(value, path) } };
  const items = /^\{(.*)\}$/.exec(value)?.[1];
  if (items !== undefined) return { type: "SET", set: { item: items.split(",").filter((item) => item !== "") } };
  throw new BadInput(path, `"${word}" has no valid value`, "a number, [a-b,c-d] or {x,y}");
}

function parseRanges(value: string, path: string): readonly Range[] {
  const inner = /^\[(.*)\]$/.exec(value)?.[1];
  const ranges = inner?.split(",").map((part) => {
    const match = /^([0-9]+)-([0-9]+)$/.exec(part);
    const range = { begin: Number(match?.[1]), end: Number(match?.[2]) };
    if (match === null || range.begin > range.end || !Number.isSafeInteger(range.end)) {
      throw new BadInput(path, `"${part}" is not a range`, "[begin-end,...] with begin not above end");
    }
    return range;
  });
  if (ranges === undefined) throw new BadInput(path, `"${value}" is not a list of ranges`, "[begin-end,...]");
  return coalesceRanges(ranges);
}

function parseJsonList(text: string, path: string): Resource[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new BadInput(
      path,
      `not valid JSON: ${cause instanceof Error ? cause.message : cause}`,
      "a JSON list of Resource",
    );
  }
  const isResource = (entry: unknown): entry is Resource =>
    typeof entry === "object" &&
    entry !== null &&
    typeof (entry as { name?: unknown }).name === "string" &&
    typeof (entry as { type?: unknown }).type === "string";
  if (!Array.isArray(list) || !list.every(isResource)) {
    throw new BadInput(
      path,
      "not a list of Resource objects",
      'entries such as {"name":"cpus","type":"SCALAR","scalar":{"value":4}}',
    );
  }
  return list.map((resource) =>
    resource.reservations === undefined ? { ...resource, role: resource.role ?? "*" } : resource,
  );
}

function isNumber(value: string): boolean {
  return /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/i.test(value);
}
