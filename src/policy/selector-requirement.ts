/**
 * What labels must hold for a selector to have a chance at all: the key under which an index finds it.
 * Necessary, not sufficient: whoever has none of the alternatives does not match; the others are still evaluated.
 */

import type { Selector } from "../model/selector/selector.ts";

export interface LabelRequirement {
  readonly label: string;
  /** Undefined: the label is there, with whatever value. */
  readonly value: string | undefined;
}

/** At least one of these holds for whatever matches; undefined: nothing is known. None at all: it never matches. */
export function requirementsOf(selector: Selector): readonly LabelRequirement[] | undefined {
  switch (selector.kind) {
    case "has":
      return [{ label: selector.label, value: undefined }];
    case "compare":
      if (selector.operator === "!=") return undefined;
      return [{ label: selector.label, value: selector.operator === "==" ? selector.value : undefined }];
    case "in":
      return selector.negated ? undefined : selector.values.map((value) => ({ label: selector.label, value }));
    case "and":
      return selector.operands.map(requirementsOf).reduce(narrower, undefined);
    case "or": {
      const all = selector.operands.map(requirementsOf);
      return all.includes(undefined) ? undefined : all.flatMap((one) => one ?? []);
    }
    default:
      return undefined;
  }
}

type Requirements = readonly LabelRequirement[] | undefined;

/** Values find fewer than bare labels do, and few alternatives fewer than many. */
function narrower(a: Requirements, b: Requirements): Requirements {
  if (a === undefined || b === undefined) return a ?? b;
  const width = (requirements: readonly LabelRequirement[]) =>
    requirements.reduce((sum, { value }) => sum + (value === undefined ? bareLabelWidth : 1), 0);
  return width(b) < width(a) ? b : a;
}

const bareLabelWidth = 1_000;
