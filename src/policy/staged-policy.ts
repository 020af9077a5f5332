/**
 * Staged policies: what somebody means to enforce later. They are read and matched like others, so that one can see
 * whom they would apply to, and never change a verdict (calico-datastore.md 2.5).
 */

import type { Selector } from "../model/selector/selector.ts";
import { decodeStagedPolicy, type StagedAction } from "../model/staged-policy.ts";
import { tierOf } from "../model/tiered-policies.ts";
import { convertRules } from "./rule-conversion.ts";
import { policySelector } from "./rule-selectors.ts";
import { RuleSource } from "./rule-source.ts";

export interface StagedReport {
  readonly key: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly tier: string;
  readonly order: number | undefined;
  readonly action: StagedAction;
  /** Why it could not be enforced as it is. */
  readonly problem: string | undefined;
  /** Keys of this host's endpoints. */
  readonly selects: readonly string[];
}

export interface StagedPolicy {
  readonly selector: Selector;
  readonly report: Omit<StagedReport, "selects">;
}

/** @throws BadInput */
export function readStagedPolicy(key: string, text: string, name: string, namespace: string | undefined): StagedPolicy {
  const { spec } = decodeStagedPolicy(text, namespace, key);
  const rules = new RuleSource(`staged policy ${name}`, () => convertRules(spec, namespace));
  return {
    selector: policySelector(spec, namespace),
    report: {
      key,
      name,
      namespace,
      tier: tierOf(spec),
      order: spec.order,
      action: spec.stagedAction ?? "Set",
      problem: rules.result.ok ? undefined : rules.result.problem,
    },
  };
}
