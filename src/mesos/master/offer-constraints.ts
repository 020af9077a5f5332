/**
 * Which agents a framework's offer constraints let through (reference: mesos-behaviour 4). Pure.
 * Groups are or-ed, the constraints of a group and-ed; text predicates are true for attributes that are not text; of
 * several attributes with one name the first counts.
 */

import type { AttributeConstraint, OfferConstraints } from "../protocol/scheduler-call.ts";
import type { Attribute, DomainInfo } from "../protocol/values.ts";

export interface ConstrainedAgent {
  readonly hostname: string;
  readonly attributes: readonly Attribute[];
  readonly domain: DomainInfo | undefined;
}

/** Regular expressions longer than this are refused, as RE2's program limit would. */
const regexMaxChars = 1_000;

export function meetsConstraints(
  agent: ConstrainedAgent,
  constraints: OfferConstraints | undefined,
  role: string,
): boolean {
  const ofRole = constraints?.role_constraints;
  const groups = ofRole !== undefined && Object.hasOwn(ofRole, role) ? ofRole[role]?.groups : undefined;
  if (groups === undefined || groups.length === 0) return true;
  return groups.some((group) => (group.attribute_constraints ?? []).every((constraint) => holds(agent, constraint)));
}

/** What is wrong with constraints as a framework sent them, or undefined. */
export function constraintsProblem(
  constraints: OfferConstraints | undefined,
  roles: readonly string[],
): string | undefined {
  for (const [role, { groups }] of Object.entries(constraints?.role_constraints ?? {})) {
    if (!roles.includes(role))
      return `Offer constraints are given for the role '${role}' to which the framework is not subscribed`;
    for (const group of groups ?? []) {
      if ((group.attribute_constraints ?? []).length === 0) return "Offer constraints: an empty constraint group";
      for (const constraint of group.attribute_constraints ?? []) {
        const problem = constraintProblem(constraint);
        if (problem !== undefined) return `Offer constraints for role '${role}': ${problem}`;
      }
    }
  }
  return undefined;
}

function constraintProblem({ selector, predicate }: AttributeConstraint): string | undefined {
  const named = selector.attribute_name !== undefined;
  const pseudo = selector.pseudoattribute_type !== undefined && selector.pseudoattribute_type !== "UNKNOWN";
  if (named === pseudo) return "a selector needs exactly one of attribute_name and pseudoattribute_type";
  const predicates = Object.values(predicate).filter((one) => one !== undefined);
  if (predicates.length !== 1) return "a constraint needs exactly one predicate";
  const regex = predicate.text_matches?.regex ?? predicate.text_not_matches?.regex;
  return regex === undefined || compile(regex) !== undefined ? undefined : `invalid regular expression '${regex}'`;
}

function holds(agent: ConstrainedAgent, { selector, predicate }: AttributeConstraint): boolean {
  const found = select(agent, selector);
  if (predicate.exists !== undefined) return found !== undefined;
  if (predicate.not_exists !== undefined) return found === undefined;
  const isText = found?.kind === "text";
  if (found !== undefined && !isText) return true;
  const text = isText ? found.text : undefined;
  if (predicate.text_equals !== undefined) return text === predicate.text_equals.value;
  if (predicate.text_not_equals !== undefined) return text !== predicate.text_not_equals.value;
  if (predicate.text_matches !== undefined) {
    return text !== undefined && (compile(predicate.text_matches.regex)?.test(text) ?? false);
  }
  if (predicate.text_not_matches !== undefined) {
    return text === undefined || !(compile(predicate.text_not_matches.regex)?.test(text) ?? true);
  }
  return false;
}

type Found = { readonly kind: "text"; readonly text: string } | { readonly kind: "other" } | undefined;

function select(agent: ConstrainedAgent, selector: AttributeConstraint["selector"]): Found {
  if (selector.attribute_name !== undefined) {
    const attribute = agent.attributes.find((one) => one.name === selector.attribute_name);
    if (attribute === undefined) return undefined;
    return attribute.type === "TEXT" ? { kind: "text", text: attribute.text?.value ?? "" } : { kind: "other" };
  }
  const text = (() => {
    switch (selector.pseudoattribute_type) {
      case "HOSTNAME":
        return agent.hostname;
      case "REGION":
        return agent.domain?.fault_domain?.region.name;
      case "ZONE":
        return agent.domain?.fault_domain?.zone.name;
      default:
        return undefined;
    }
  })();
  return text === undefined ? undefined : { kind: "text", text };
}

/** The whole text must match, as RE2::FullMatch does. */
function compile(regex: string): RegExp | undefined {
  if (regex.length > regexMaxChars) return undefined;
  try {
    return new RegExp(`^(?:${regex})$`, "u");
  } catch {
    // Not a regular expression: the caller says so.
    return undefined;
  }
}
