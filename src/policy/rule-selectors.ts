/**
 * One selector for one side of a rule, and for whom a policy is (calico-datastore.md 3.5).
 * - Namespace and service account labels are not endpoint labels: profiles bring them with the prefixes pcns. and pcsa.
 * - A side of a namespaced policy is confined to its namespace as soon as it selects anything at all; a side without
 *   any selector matches every address.
 * - A lone negative selector also matches addresses nobody here knows of; it stays negative.
 */

import type { EntityRule } from "../model/rule.ts";
import { parseSelector } from "../model/selector/parse.ts";
import { allOf, renameLabels, type Selector } from "../model/selector/selector.ts";
import { namespaceLabel, serviceAccountLabel } from "../model/workload-endpoint.ts";

export interface SideSelectors {
  readonly positive: Selector | undefined;
  readonly negative: Selector | undefined;
}

/** @throws BadInput naming the selector that cannot be parsed. */
export function sideSelectors(side: EntityRule, namespace: string | undefined, path: string): SideSelectors {
  const own = parseGiven(side.selector, `${path}.selector`);
  const not = parseGiven(side.notSelector, `${path}.notSelector`);
  const namespaces = parseGiven(side.namespaceSelector, `${path}.namespaceSelector`);
  const accounts = serviceAccounts(side, path);
  if (own === undefined && not === undefined && namespaces === undefined && accounts === undefined) {
    return { positive: undefined, negative: undefined };
  }
  const where = namespaces === undefined ? inNamespace(namespace) : namespacePart(namespaces);
  if (where === undefined && accounts === undefined && own === undefined) return { positive: undefined, negative: not };
  const without: Selector | undefined = not === undefined ? undefined : { kind: "not", operand: not };
  return { positive: allOf(where, accounts, own, without), negative: undefined };
}

export interface PolicySubject {
  readonly selector?: string | undefined;
  readonly namespaceSelector?: string | undefined;
  readonly serviceAccountSelector?: string | undefined;
}

/** @throws BadInput naming the selector that cannot be parsed. */
export function policySelector(subject: PolicySubject, namespace: string | undefined, path = "spec"): Selector {
  const namespaces = parseGiven(subject.namespaceSelector, `${path}.namespaceSelector`);
  const accounts = parseGiven(subject.serviceAccountSelector, `${path}.serviceAccountSelector`);
  return allOf(
    namespace === undefined ? namespaces && namespacePart(namespaces) : inNamespace(namespace),
    accounts && renameLabels(accounts, (label) => `pcsa.${label}`),
    parseSelector(subject.selector ?? "", `${path}.selector`, { global: "refuse" }),
  );
}

function inNamespace(namespace: string | undefined): Selector | undefined {
  if (namespace === undefined) return undefined;
  return { kind: "compare", label: namespaceLabel, operator: "==", value: namespace };
}

/** all() means "in some namespace", global() "in none". */
function namespacePart(selector: Selector): Selector {
  const namespaced: Selector = { kind: "has", label: namespaceLabel };
  switch (selector.kind) {
    case "all":
      return namespaced;
    case "global":
      return { kind: "not", operand: namespaced };
    case "not":
      return { kind: "not", operand: namespacePart(selector.operand) };
    case "and":
    case "or":
      return { kind: selector.kind, operands: selector.operands.map(namespacePart) };
    default:
      return renameLabels(selector, (label) => `pcns.${label}`);
  }
}

function serviceAccounts(side: EntityRule, path: string): Selector | undefined {
  const { names = [], selector } = side.serviceAccounts ?? {};
  const named: Selector | undefined =
    names.length === 0
      ? undefined
      : { kind: "in", label: serviceAccountLabel, values: [...new Set(names)].sort(), negated: false };
  const selected = parseGiven(selector, `${path}.serviceAccounts.selector`);
  if (named === undefined && selected === undefined) return undefined;
  return allOf(named, selected && renameLabels(selected, (label) => `pcsa.${label}`));
}

/** A blank selector field is one that was not given. */
function parseGiven(text: string | undefined, path: string): Selector | undefined {
  return text === undefined || text.trim() === "" ? undefined : parseSelector(text, path);
}
