/**
 * The rule lists that local endpoints refer to and the address sets those refer to, each counted. A list or set comes
 * into being with its first reference and goes with its last: nothing is enforced on a host that no endpoint needs.
 */

import type { Cidr } from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import type { Selector } from "../model/selector/selector.ts";
import { AddressSets } from "./address-sets.ts";
import type { EnforcementSink, RuleListId, SetId } from "./enforcement.ts";
import type { LabelIndex } from "./label-index.ts";
import type { ConvertedRules } from "./rule-conversion.ts";

interface ActiveList {
  readonly rules: ConvertedRules;
  readonly text: string;
}

export class ActiveRules {
  readonly sets = new AddressSets();
  readonly #index: LabelIndex<readonly Cidr[]>;
  readonly #references = new Map<RuleListId, number>();
  readonly #active = new Map<RuleListId, ActiveList>();
  readonly #changed = new Set<RuleListId>();
  readonly #setReferences = new Map<SetId, number>();

  constructor(index: (sets: AddressSets) => LabelIndex<readonly Cidr[]>) {
    this.#index = index(this.sets);
  }

  refer(id: RuleListId, difference: 1 | -1): void {
    const count = (this.#references.get(id) ?? 0) + difference;
    invariant(count >= 0, `rule list ${id} is referred to ${count} times`);
    if (count === 0) this.#references.delete(id);
    else this.#references.set(id, count);
    this.#changed.add(id);
  }

  /** The rules behind the id may have changed. */
  touch(id: RuleListId): void {
    if (this.#active.has(id)) this.#changed.add(id);
  }

  /** Tells new sets and new or changed lists; what is not needed any more goes with flushRemovals(). */
  flushAdditions(sink: EnforcementSink, rulesOf: (id: RuleListId) => ConvertedRules): void {
    const told: [RuleListId, ConvertedRules][] = [];
    for (const id of this.#changed) {
      if (!this.#references.has(id)) continue;
      this.#changed.delete(id);
      const rules = rulesOf(id);
      const text = JSON.stringify(rules.list);
      const before = this.#active.get(id);
      if (before?.text === text) continue;
      for (const [set, selector] of rules.selectors) this.#referSet(set, selector);
      for (const set of before?.rules.selectors.keys() ?? []) this.#releaseSet(set);
      this.#active.set(id, { rules, text });
      told.push([id, rules]);
    }
    this.sets.flushAdditions(sink);
    for (const [id, { list }] of told) sink.ruleList(id, list);
  }

  flushRemovals(sink: EnforcementSink): void {
    for (const id of this.#changed) {
      const active = this.#active.get(id);
      if (active === undefined) continue;
      this.#active.delete(id);
      for (const set of active.rules.selectors.keys()) this.#releaseSet(set);
      sink.ruleList(id, undefined);
    }
    this.#changed.clear();
    this.sets.flushRemovals(sink);
  }

  #referSet(id: SetId, selector: Selector): void {
    const count = this.#setReferences.get(id) ?? 0;
    this.#setReferences.set(id, count + 1);
    if (count > 0) return;
    this.sets.add(id);
    this.#index.addSelector(id, selector);
  }

  #releaseSet(id: SetId): void {
    const count = (this.#setReferences.get(id) ?? 0) - 1;
    invariant(count >= 0, `address set ${id} is referred to ${count} times`);
    if (count > 0) {
      this.#setReferences.set(id, count);
      return;
    }
    this.#setReferences.delete(id);
    this.#index.removeSelector(id);
    this.sets.drop(id);
  }
}
