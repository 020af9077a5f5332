/**
 * Which items match which selectors, kept true under every change. Items with the same labels and profiles stand in
 * one group and a selector is evaluated once per group: the members of a network are one group however many they are.
 * - Own labels hide those of profiles; among profiles the first listed that has the label wins.
 * - A profile that is not known brings no labels.
 */

import { matches, type Selector } from "../model/selector/selector.ts";

export interface LabelSource {
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of the item's list. */
  readonly profiles: readonly string[];
}

interface Group<Item> {
  readonly signature: string;
  readonly source: LabelSource;
  effective: ReadonlyMap<string, string>;
  readonly items: Map<string, Item>;
  readonly matched: Set<string>;
}

/** `matched` false: the item does not match the selector any more, or is gone, or is about to be replaced. */
export type OnMatch<Item> = (selectorId: string, item: Item, matched: boolean) => void;

export class LabelIndex<Item> {
  readonly #onMatch: OnMatch<Item>;
  readonly #groups = new Map<string, Group<Item>>();
  readonly #groupOfItem = new Map<string, Group<Item>>();
  readonly #groupsOfProfile = new Map<string, Set<Group<Item>>>();
  readonly #profileLabels = new Map<string, Readonly<Record<string, string>>>();
  readonly #selectors = new Map<string, Selector>();

  constructor(onMatch: OnMatch<Item>) {
    this.#onMatch = onMatch;
  }

  setItem(id: string, source: LabelSource, item: Item): void {
    const before = this.#groupOfItem.get(id);
    const group = this.#groupFor(source);
    const old = before?.items.get(id);
    if (before === group && old === item) return;
    // First away from the old, then to the new: an item that matches before and after ends up matching.
    if (before !== undefined && old !== undefined) {
      for (const selector of before.matched) this.#onMatch(selector, old, false);
      if (before !== group) this.#leave(before, id);
    }
    group.items.set(id, item);
    this.#groupOfItem.set(id, group);
    for (const selector of group.matched) this.#onMatch(selector, item, true);
  }

  removeItem(id: string): void {
    const group = this.#groupOfItem.get(id);
    const item = group?.items.get(id);
    if (group === undefined || item === undefined) return;
    this.#groupOfItem.delete(id);
    for (const selector of group.matched) this.#onMatch(selector, item, false);
    this.#leave(group, id);
  }

  setProfileLabels(profile: string, labels: Readonly<Record<string, string>> | undefined): void {
    if (labels === undefined) this.#profileLabels.delete(profile);
    else this.#profileLabels.set(profile, labels);
    for (const group of this.#groupsOfProfile.get(profile) ?? []) {
      group.effective = this.#effectiveLabels(group.source);
      for (const [id, selector] of this.#selectors) this.#reevaluate(group, id, selector);
    }
  }

  /** Tells of every item that matches. The id must be new. */
  addSelector(id: string, selector: Selector): void {
    this.#selectors.set(id, selector);
    for (const group of this.#groups.values()) this.#reevaluate(group, id, selector);
  }

  /** Says nothing about the items that matched. */
  removeSelector(id: string): void {
    this.#selectors.delete(id);
    for (const group of this.#groups.values()) group.matched.delete(id);
  }

  #reevaluate(group: Group<Item>, id: string, selector: Selector): void {
    const matched = matches(selector, group.effective);
    if (matched === group.matched.has(id)) return;
    if (matched) group.matched.add(id);
    else group.matched.delete(id);
    for (const item of group.items.values()) this.#onMatch(id, item, matched);
  }

  #groupFor(source: LabelSource): Group<Item> {
    const entries = Object.entries(source.labels).sort(([a], [b]) => (a < b ? -1 : 1));
    const signature = JSON.stringify([entries, source.profiles]);
    const known = this.#groups.get(signature);
    if (known !== undefined) return known;
    const group: Group<Item> = {
      signature,
      source,
      effective: this.#effectiveLabels(source),
      items: new Map(),
      matched: new Set(),
    };
    this.#groups.set(signature, group);
    for (const profile of source.profiles) {
      const groups = this.#groupsOfProfile.get(profile) ?? new Set();
      this.#groupsOfProfile.set(profile, groups.add(group));
    }
    for (const [id, selector] of this.#selectors) if (matches(selector, group.effective)) group.matched.add(id);
    return group;
  }

  #leave(group: Group<Item>, id: string): void {
    group.items.delete(id);
    if (group.items.size > 0) return;
    this.#groups.delete(group.signature);
    for (const profile of group.source.profiles) {
      const groups = this.#groupsOfProfile.get(profile);
      groups?.delete(group);
      if (groups?.size === 0) this.#groupsOfProfile.delete(profile);
    }
  }

  #effectiveLabels({ labels, profiles }: LabelSource): ReadonlyMap<string, string> {
    const effective = new Map(Object.entries(labels));
    for (const profile of profiles) {
      for (const [label, value] of Object.entries(this.#profileLabels.get(profile) ?? {})) {
        if (!effective.has(label)) effective.set(label, value);
      }
    }
    return effective;
  }
}
