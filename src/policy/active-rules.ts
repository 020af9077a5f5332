/**
 * The rule lists that local endpoints refer to and the address sets those refer to, each counted. A list or set comes
 * into being with its first reference and goes with its last: nothing is enforced on a host that no endpoint needs.
 */

import type { Cidr } from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import type { Selector } from "../model/selector/selector.ts";
import { CountedSets, type SetReceiver } from "./counted-sets.ts";
import type { EnforcementSink, PortMember, RuleListId, SetId } from "./enforcement.ts";
import { LabelIndex } from "./label-index.ts";
import { type Members, type NamedPort, portMembersOf } from "./members.ts";
import type { ConvertedRules, SetContent } from "./rule-conversion.ts";

interface ActiveList {
  readonly rules: ConvertedRules;
  readonly text: string;
}

export class ActiveRules {
  /** Everything that has addresses, of all hosts, against the selectors of rules. */
  readonly index = new LabelIndex<Members>((set, item, matched) => this.#onMember(set, item, matched ? 1 : -1));
  readonly #addresses = new CountedSets<Cidr>();
  readonly #ports = new CountedSets<PortMember>();
  readonly #namedPorts = new Map<SetId, NamedPort>();
  readonly #references = new Map<RuleListId, number>();
  readonly #active = new Map<RuleListId, ActiveList>();
  readonly #changed = new Set<RuleListId>();
  readonly #setReferences = new Map<SetId, number>();

  /** Rule lists and sets that are in force on this host. */
  get counts(): { readonly lists: number; readonly sets: number } {
    return { lists: this.#active.size, sets: this.#setReferences.size };
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
    const sets: [SetId, Selector][] = [];
    for (const id of this.#changed) {
      if (!this.#references.has(id)) continue;
      this.#changed.delete(id);
      const rules = rulesOf(id);
      const text = JSON.stringify(rules.list);
      const before = this.#active.get(id);
      if (before?.text === text) continue;
      for (const [set, content] of rules.sets) if (this.#referSet(set, content)) sets.push([set, content.selector]);
      for (const set of before?.rules.sets.keys() ?? []) this.#releaseSet(set);
      this.#active.set(id, { rules, text });
      told.push([id, rules]);
    }
    this.index.addSelectors(sets);
    this.#addresses.flushAdditions(addressReceiver(sink));
    this.#ports.flushAdditions(portReceiver(sink));
    for (const [id, { list }] of told) sink.ruleList(id, list);
  }

  flushRemovals(sink: EnforcementSink): void {
    for (const id of this.#changed) {
      const active = this.#active.get(id);
      if (active === undefined) continue;
      this.#active.delete(id);
      for (const set of active.rules.sets.keys()) this.#releaseSet(set);
      sink.ruleList(id, undefined);
    }
    this.#changed.clear();
    this.#ports.flushRemovals(portReceiver(sink));
    this.#addresses.flushRemovals(addressReceiver(sink));
  }

  #onMember(set: SetId, item: Members, difference: 1 | -1): void {
    const port = this.#namedPorts.get(set);
    if (port === undefined) this.#addresses.change(set, item.addresses, difference);
    else this.#ports.change(set, portMembersOf(item, port), difference);
  }

  /** @returns whether it is new, so that its members have to be found. */
  #referSet(id: SetId, { port }: SetContent): boolean {
    const count = this.#setReferences.get(id) ?? 0;
    this.#setReferences.set(id, count + 1);
    if (count > 0) return false;
    if (port === undefined) {
      this.#addresses.add(id);
    } else {
      this.#namedPorts.set(id, port);
      this.#ports.add(id);
    }
    return true;
  }

  #releaseSet(id: SetId): void {
    const count = (this.#setReferences.get(id) ?? 0) - 1;
    invariant(count >= 0, `set ${id} is referred to ${count} times`);
    if (count > 0) {
      this.#setReferences.set(id, count);
      return;
    }
    this.#setReferences.delete(id);
    this.index.removeSelector(id);
    if (this.#namedPorts.delete(id)) this.#ports.drop(id);
    else this.#addresses.drop(id);
  }
}

function addressReceiver(sink: EnforcementSink): SetReceiver<Cidr> {
  return {
    whole: (id, members) => sink.addressSet(id, members),
    delta: (id, added, removed) => sink.addressSetDelta(id, added, removed),
  };
}

function portReceiver(sink: EnforcementSink): SetReceiver<PortMember> {
  return {
    whole: (id, members) => sink.portSet?.(id, members),
    delta: (id, added, removed) => sink.portSetDelta?.(id, added, removed),
  };
}
