/**
 * A selector as a tree, its evaluation against labels, and its normal form (calico-datastore.md 4.2, 4.3).
 * It stands in model/ and not in policy/, because pools choose hosts and rules are validated with it too.
 */

import { unreachable } from "../../base/errors.ts";

export type LabelComparison = "==" | "!=" | "contains" | "starts with" | "ends with";

export type Selector =
  | { readonly kind: "all" }
  | { readonly kind: "global" }
  | { readonly kind: "has"; readonly label: string }
  | { readonly kind: "compare"; readonly label: string; readonly operator: LabelComparison; readonly value: string }
  /** Values are in byte order and each stands there once. */
  | { readonly kind: "in"; readonly label: string; readonly values: readonly string[]; readonly negated: boolean }
  | { readonly kind: "not"; readonly operand: Selector }
  | { readonly kind: "and" | "or"; readonly operands: readonly Selector[] };

export interface Labels {
  get(label: string): string | undefined;
}

export function matches(selector: Selector, labels: Labels): boolean {
  switch (selector.kind) {
    case "all":
    case "global":
      return true;
    case "has":
      return labels.get(selector.label) !== undefined;
    case "compare":
      return compareLabel(selector.operator, labels.get(selector.label), selector.value);
    case "in": {
      const value = labels.get(selector.label);
      return (value !== undefined && selector.values.includes(value)) !== selector.negated;
    }
    case "not":
      return !matches(selector.operand, labels);
    case "and":
      return selector.operands.every((operand) => matches(operand, labels));
    case "or":
      return selector.operands.some((operand) => matches(operand, labels));
    default:
      return unreachable(selector);
  }
}

/** The labels that it asks for, each as often as it does. */
export function labelsIn(selector: Selector): readonly string[] {
  switch (selector.kind) {
    case "all":
    case "global":
      return [];
    case "has":
    case "compare":
    case "in":
      return [selector.label];
    case "not":
      return labelsIn(selector.operand);
    case "and":
    case "or":
      return selector.operands.flatMap(labelsIn);
    default:
      return unreachable(selector);
  }
}

function compareLabel(operator: LabelComparison, actual: string | undefined, value: string): boolean {
  switch (operator) {
    case "==":
      return actual === value;
    case "!=":
      return actual !== value;
    case "contains":
      return actual?.includes(value) ?? false;
    case "starts with":
      return actual?.startsWith(value) ?? false;
    case "ends with":
      return actual?.endsWith(value) ?? false;
    default:
      return unreachable(operator);
  }
}

/** Two selectors with the same normal form mean the same; ids are hashes of it. */
export function normalForm(selector: Selector): string {
  switch (selector.kind) {
    case "all":
      return "all()";
    case "global":
      return "global()";
    case "has":
      return `has(${selector.label})`;
    case "compare":
      return `${selector.label} ${selector.operator} ${quote(selector.value)}`;
    case "in":
      return `${selector.label} ${selector.negated ? "not in" : "in"} {${selector.values.map(quote).join(", ")}}`;
    case "not":
      return `!${normalForm(selector.operand)}`;
    case "and":
    case "or":
      return `(${selector.operands.map(normalForm).join(selector.kind === "and" ? " && " : " || ")})`;
    default:
      return unreachable(selector);
  }
}

/** The same selector asking for other label keys, e.g. with a prefix. */
export function renameLabels(selector: Selector, rename: (label: string) => string): Selector {
  switch (selector.kind) {
    case "all":
    case "global":
      return selector;
    case "has":
    case "compare":
    case "in":
      return { ...selector, label: rename(selector.label) };
    case "not":
      return { kind: "not", operand: renameLabels(selector.operand, rename) };
    case "and":
    case "or":
      return { kind: selector.kind, operands: selector.operands.map((operand) => renameLabels(operand, rename)) };
    default:
      return unreachable(selector);
  }
}

export function usesGlobal(selector: Selector): boolean {
  if (selector.kind === "not") return usesGlobal(selector.operand);
  if (selector.kind === "and" || selector.kind === "or") return selector.operands.some(usesGlobal);
  return selector.kind === "global";
}

/** All operands must match; nothing given means everything. */
export function allOf(...selectors: readonly (Selector | undefined)[]): Selector {
  const operands = selectors.filter((selector) => selector !== undefined && selector.kind !== "all") as Selector[];
  const [first, ...rest] = operands;
  if (first === undefined) return { kind: "all" };
  return rest.length === 0 ? first : { kind: "and", operands };
}

/** Strings by their UTF-8 bytes, which is by code point, not by UTF-16 unit. */
export function compareByBytes(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let at = 0; at < left.length && at < right.length; at++) {
    const difference = (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function quote(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}
