/**
 * Which items match which selectors, kept true under every change. Items with the same labels and profiles stand in
 * one group and a selector is evaluated once per group: the members of a network are one group however many they are.
 * - Own labels hide those of profiles; among profiles the first listed that has the label wins.
 * - A profile that is not known brings no labels.
 * - A group is compared only with selectors that one of its labels gives a chance, and the other way round.
 */

import { type Labels, matches, type Selector } from "../model/selector/selector.ts";
import { LabelLookup } from "./label-lookup.ts";
import { type LabelRequirement, requirementsOf } from "./selector-requirement.ts";

export interface LabelSource {
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of the item's list. */
  readonly profiles: readonly string[];
}

interface Group<Item> {
  readonly signature: string;
  readonly source: LabelSource;
  readonly items: Map<string, Item>;
  readonly matched: Set<string>;
}

interface IndexedSelector<Item> {
  readonly selector: Selector;
  readonly requirements: readonly LabelRequirement[] | undefined;
  readonly groups: Set<Group<Item>>;
}

/** Numbers that only grow, but for those of what is there now. */
export interface LabelIndexCounts {
  readonly items: number;
  /** Those that labels lead to, and those that every group has to be compared with. */
  readonly selectors: { readonly byLabel: number; readonly broad: number };
  readonly evaluations: { readonly matched: number; readonly unmatched: number };
  /** How the groups were found that a new selector is compared with. */
  readonly searches: Readonly<Record<Search, number>>;
}

export type Search = "all-groups" | "label" | "one-value" | "several-values";

/** `matched` false: the item does not match the selector any more, or is gone, or is about to be replaced. */
export type OnMatch<Item> = (selectorId: string, item: Item, matched: boolean) => void;

export class LabelIndex<Item> {
  readonly #onMatch: OnMatch<Item>;
  readonly #groups = new Map<string, Group<Item>>();
  readonly #groupOfItem = new Map<string, Group<Item>>();
  readonly #groupsOfProfile = new Map<string, Set<Group<Item>>>();
  /** Groups under the labels that selectors need; of all other labels there may be as many as endpoints. */
  readonly #groupsByLabel = new LabelLookup<Group<Item>>();
  /** How many requirements of selectors name the label. */
  readonly #neededLabels = new Map<string, number>();
  readonly #profileLabels = new Map<string, Readonly<Record<string, string>>>();
  readonly #selectors = new Map<string, IndexedSelector<Item>>();
  readonly #selectorsByLabel = new LabelLookup<string>();
  /** Those that need no label in particular. */
  readonly #broadSelectors = new Set<string>();
  readonly #evaluations = { matched: 0, unmatched: 0 };
  readonly #searches: Record<Search, number> = { "all-groups": 0, label: 0, "one-value": 0, "several-values": 0 };

  constructor(onMatch: OnMatch<Item>) {
    this.#onMatch = onMatch;
  }

  get counts(): LabelIndexCounts {
    const broad = this.#broadSelectors.size;
    return {
      items: this.#groupOfItem.size,
      selectors: { byLabel: this.#selectors.size - broad, broad },
      evaluations: { ...this.#evaluations },
      searches: { ...this.#searches },
    };
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
    const groups = this.#groupsOfProfile.get(profile) ?? [];
    for (const group of groups) this.#unlist(group);
    if (labels === undefined) this.#profileLabels.delete(profile);
    else this.#profileLabels.set(profile, labels);
    for (const group of groups) {
      this.#list(group);
      for (const id of new Set([...group.matched, ...this.#candidates(group)])) this.#reevaluate(group, id);
    }
  }

  /** Tells of every item that matches. The id must be new. */
  addSelector(id: string, selector: Selector): void {
    const requirements = requirementsOf(selector);
    this.#selectors.set(id, { selector, requirements, groups: new Set() });
    if (requirements === undefined) this.#broadSelectors.add(id);
    for (const requirement of requirements ?? []) {
      this.#selectorsByLabel.add(requirement, id);
      this.#needLabel(requirement.label);
    }
    this.#searches[searchFor(requirements)]++;
    for (const group of this.#groupsFor(requirements)) this.#reevaluate(group, id);
  }

  /** Says nothing about the items that matched. */
  removeSelector(id: string): void {
    const known = this.#selectors.get(id);
    if (known === undefined) return;
    this.#selectors.delete(id);
    this.#broadSelectors.delete(id);
    for (const requirement of known.requirements ?? []) {
      this.#selectorsByLabel.remove(requirement, id);
      this.#unneedLabel(requirement.label);
    }
    for (const group of known.groups) group.matched.delete(id);
  }

  /** The items that match a selector of the index. */
  *itemsOf(id: string): Iterable<Item> {
    for (const group of this.#selectors.get(id)?.groups ?? []) yield* group.items.values();
  }

  #reevaluate(group: Group<Item>, id: string): void {
    const known = this.#selectors.get(id);
    if (known === undefined) return;
    const matched = this.#matches(known, this.effectiveLabels(group.source));
    if (matched === group.matched.has(id)) return;
    this.#note(group, id, known, matched);
    for (const item of group.items.values()) this.#onMatch(id, item, matched);
  }

  #matches({ selector }: IndexedSelector<Item>, labels: Labels): boolean {
    const matched = matches(selector, labels);
    this.#evaluations[matched ? "matched" : "unmatched"]++;
    return matched;
  }

  #note(group: Group<Item>, id: string, { groups }: IndexedSelector<Item>, matched: boolean): void {
    if (matched) {
      group.matched.add(id);
      groups.add(group);
    } else {
      group.matched.delete(id);
      groups.delete(group);
    }
  }

  #groupFor(source: LabelSource): Group<Item> {
    const signature = signatureOf(source);
    const known = this.#groups.get(signature);
    if (known !== undefined) return known;
    const group: Group<Item> = {
      signature,
      source,
      items: new Map(),
      matched: new Set(),
    };
    this.#groups.set(signature, group);
    for (const profile of source.profiles) {
      const groups = this.#groupsOfProfile.get(profile) ?? new Set();
      this.#groupsOfProfile.set(profile, groups.add(group));
    }
    this.#list(group);
    const effective = this.effectiveLabels(source);
    for (const id of this.#candidates(group)) {
      if (group.matched.has(id)) continue;
      const candidate = this.#selectors.get(id);
      if (candidate !== undefined && this.#matches(candidate, effective)) this.#note(group, id, candidate, true);
    }
    return group;
  }

  #leave(group: Group<Item>, id: string): void {
    group.items.delete(id);
    if (group.items.size > 0) return;
    this.#groups.delete(group.signature);
    this.#unlist(group);
    for (const selector of group.matched) this.#selectors.get(selector)?.groups.delete(group);
    for (const profile of group.source.profiles) {
      const groups = this.#groupsOfProfile.get(profile);
      groups?.delete(group);
      if (groups?.size === 0) this.#groupsOfProfile.delete(profile);
    }
  }

  #needLabel(label: string): void {
    const before = this.#neededLabels.get(label) ?? 0;
    this.#neededLabels.set(label, before + 1);
    if (before > 0) return;
    for (const group of this.#groups.values()) {
      const value = this.effectiveLabels(group.source).get(label);
      if (value !== undefined) this.#groupsByLabel.add({ label, value }, group);
    }
  }

  #unneedLabel(label: string): void {
    const left = (this.#neededLabels.get(label) ?? 1) - 1;
    if (left > 0) {
      this.#neededLabels.set(label, left);
      return;
    }
    this.#neededLabels.delete(label);
    this.#groupsByLabel.removeLabel(label);
  }

  #list(group: Group<Item>): void {
    for (const requirement of this.#neededOf(group)) this.#groupsByLabel.add(requirement, group);
  }

  #unlist(group: Group<Item>): void {
    for (const requirement of this.#neededOf(group)) this.#groupsByLabel.remove(requirement, group);
  }

  /** Its labels that are needed. */
  #neededOf({ source }: Group<Item>): readonly LabelRequirement[] {
    if (this.#neededLabels.size === 0) return [];
    return this.effectiveLabels(source)
      .entries()
      .flatMap(([label, value]) => (this.#neededLabels.has(label) ? [{ label, value }] : []));
  }

  #groupsFor(requirements: readonly LabelRequirement[] | undefined): Iterable<Group<Item>> {
    if (requirements === undefined) return this.#groups.values();
    return new Set(
      requirements.flatMap((requirement) => [
        ...(requirement.value === undefined
          ? this.#groupsByLabel.underLabel(requirement.label)
          : this.#groupsByLabel.under(requirement)),
      ]),
    );
  }

  /** The selectors that the group's labels give a chance; some of them twice. */
  #candidates({ source }: Group<Item>): readonly string[] {
    const found = [...this.#broadSelectors];
    if (this.#neededLabels.size === 0) return found;
    for (const [label, value] of this.effectiveLabels(source).entries()) {
      if (!this.#neededLabels.has(label)) continue;
      for (const id of this.#selectorsByLabel.under({ label, value })) found.push(id);
      for (const id of this.#selectorsByLabel.under({ label, value: undefined })) found.push(id);
    }
    return found;
  }

  /** Own labels and those of its profiles, as they are now. */
  effectiveLabels(source: LabelSource): EffectiveLabels {
    return new EffectiveLabels(source, this.#profileLabels);
  }
}

/** Looked up instead of merged: most groups are asked for a label or two, and there may be as many as endpoints. */
class EffectiveLabels implements Labels {
  readonly #source: LabelSource;
  readonly #profileLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;

  constructor(source: LabelSource, profileLabels: ReadonlyMap<string, Readonly<Record<string, string>>>) {
    this.#source = source;
    this.#profileLabels = profileLabels;
  }

  get(label: string): string | undefined {
    const { labels, profiles } = this.#source;
    if (Object.hasOwn(labels, label)) return labels[label];
    for (const profile of profiles) {
      const inherited = this.#profileLabels.get(profile);
      if (inherited !== undefined && Object.hasOwn(inherited, label)) return inherited[label];
    }
    return undefined;
  }

  /** An array, and no set of names while one profile has them all: it is made for every endpoint of the cluster. */
  entries(): readonly (readonly [label: string, value: string])[] {
    const { labels, profiles } = this.#source;
    const found = Object.entries(labels);
    const seen = profiles.length > 1 ? new Set<string>() : undefined;
    for (const profile of profiles) {
      for (const entry of Object.entries(this.#profileLabels.get(profile) ?? {})) {
        if (Object.hasOwn(labels, entry[0]) || seen?.has(entry[0])) continue;
        seen?.add(entry[0]);
        found.push(entry);
      }
    }
    return found;
  }
}

function searchFor(requirements: readonly LabelRequirement[] | undefined): Search {
  if (requirements === undefined) return "all-groups";
  if (requirements.some(({ value }) => value === undefined)) return "label";
  return requirements.length === 1 ? "one-value" : "several-values";
}

/** Equal for equal labels and profiles, and for no others: each part is preceded by its length. */
function signatureOf({ labels, profiles }: LabelSource): string {
  let text = "";
  for (const label of Object.keys(labels).sort()) text += part(label) + part(labels[label] ?? "");
  text += "|";
  for (const profile of profiles) text += part(profile);
  return text;
}

function part(text: string): string {
  return `${text.length}:${text}`;
}
