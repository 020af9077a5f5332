/** Rules about the shape of placement constraints (reference: marathon 5.4, marathon-behaviour 6). Pure. */

import type { Problems } from "../refusal.ts";
import type { Constraint } from "./app.ts";

const operators = ["UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "MAX_PER", "UNLIKE", "IS"];
const patternMaxLength = 500;

export function validateConstraints(constraints: readonly Constraint[], problems: Problems): void {
  constraints.forEach((constraint, index) => {
    const error = constraintError(constraint);
    if (error !== undefined) problems.add(`/constraints(${index})`, error);
  });
}

function constraintError({ field, operator, value }: Constraint): string | undefined {
  if (field === "" || operator === "") return "Each constraint must have either 2 or 3 fields";
  const integer = value === undefined ? undefined : /^\d{1,9}$/.test(value);
  switch (operator) {
    case "UNIQUE":
      return value === undefined ? undefined : "UNIQUE does not accept a value";
    case "GROUP_BY":
      return integer === false || value === "0"
        ? "GROUP BY must define an integer value or else no value at all"
        : undefined;
    case "MAX_PER":
      return integer === true ? undefined : "MAX_PER requires an integer value";
    case "LIKE":
    case "UNLIKE":
      if (value === undefined || value === "") return "LIKE and UNLIKE require a non-empty, regular expression value";
      return compilePattern(value) === undefined ? "is not a valid regular expression" : undefined;
    case "IS":
      return value === undefined || /^[[{]/.test(value)
        ? "IS only supports Mesos text and float values (see …)"
        : undefined;
    case "CLUSTER":
      return undefined;
    default:
      return `Operator must be one of the following ${operators.slice(0, -1).join(", ")} or IS`;
  }
}

/** The whole value must match. A constraint is run on short attribute values only, so a long pattern is a mistake. */
export function compilePattern(pattern: string): RegExp | undefined {
  if (pattern.length > patternMaxLength) return undefined;
  try {
    return new RegExp(`^(?:${pattern})$`);
  } catch {
    return undefined; // the SyntaxError is the answer: not a pattern
  }
}
