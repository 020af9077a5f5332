/**
 * Which items match which selectors, kept true under every change. Items that are the same to every selector stand in one
 * group, and a selector is evaluated once per group: the members of a network are one group however many they are.
 * - Own labels hide those of profiles; among profiles the first listed that has the label wins.
 * - A profile that is not known brings no labels.
 * - Labels that no selector names tell no groups apart: names and ids, of which each item has its own, cost nothing.
 * - A group is compared only with selectors that one of its labels gives a chance, and the other way round.
 * - While there is no selector, items are only kept: the first listing of a cluster is put into groups at once.
 */

import { type Labels, labelsIn, matches, type Selector } from "../model/selector/selector.ts";
import { LabelLookup } from "./label-lookup.ts";
import { type LabelRequirement, requirementsOf } from "./selector-requirement.ts";

export interface LabelSource {
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of the item's list. */
  readonly profiles: readonly string[];
}

interface Entry<Item> {
  readonly source: LabelSource;
  readonly item: Item;
  /** Undefined: no selector has asked since it came. */
  group: Group<Item> | undefined;
}

interface Group<Item> {
  readonly signature: string;
  /** Its own labels are those that selectors named when it was made, and maybe some that none names any more. */
  readonly source: LabelSource;
  readonly entries: Set<Entry<Item>>;
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
  readonly #entries = new Map<string, Entry<Item>>();
  readonly #groups = new Map<string, Group<Item>>();
  readonly #groupsOfProfile = new Map<string, Set<Group<Item>>>();
  /** Groups under the labels that selectors name. */
  readonly #groupsByLabel = new LabelLookup<Group<Item>>();
  /** How many selectors name the label. */
  readonly #namedLabels = new Map<string, number>();
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
      items: this.#entries.size,
      selectors: { byLabel: this.#selectors.size - broad, broad },
      evaluations: { ...this.#evaluations },
      searches: { ...this.#searches },
    };
  }

  setItem(id: string, source: LabelSource, item: Item): void {
    const before = this.#entries.get(id);
    const group = this.#selectors.size === 0 ? undefined : this.#groupFor(source);
    // First away from the old, then to the new: an item that matches before and after ends up matching.
    if (before !== undefined) this.#leave(before, group);
    const entry: Entry<Item> = { source, item, group };
    this.#entries.set(id, entry);
    if (group === undefined) return;
    group.entries.add(entry);
    for (const selector of group.matched) this.#onMatch(selector, item, true);
  }

  removeItem(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#leave(entry, undefined);
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
    this.addSelectors([[id, selector]]);
  }

  /** As one by one, but what they name is looked for once. */
  addSelectors(added: readonly (readonly [id: string, selector: Selector])[]): void {
    this.#nameLabels(added.map(([, selector]) => selector));
    for (const [id, selector] of added) {
      const requirements = requirementsOf(selector);
      this.#selectors.set(id, { selector, requirements, groups: new Set() });
      if (requirements === undefined) this.#broadSelectors.add(id);
      for (const requirement of requirements ?? []) this.#selectorsByLabel.add(requirement, id);
      this.#searches[searchFor(requirements)]++;
      for (const group of this.#groupsFor(requirements)) this.#reevaluate(group, id);
    }
  }

  /** Says nothing about the items that matched. */
  removeSelector(id: string): void {
    const known = this.#selectors.get(id);
    if (known === undefined) return;
    this.#selectors.delete(id);
    this.#broadSelectors.delete(id);
    for (const requirement of known.requirements ?? []) this.#selectorsByLabel.remove(requirement, id);
    for (const group of known.groups) group.matched.delete(id);
    for (const label of labelsIn(known.selector)) this.#unnameLabel(label);
  }

  /** The items that match a selector of the index. */
  *itemsOf(id: string): Iterable<Item> {
    for (const { entries } of this.#selectors.get(id)?.groups ?? []) for (const { item } of entries) yield item;
  }

  /** Own labels and those of its profiles, as they are now. */
  effectiveLabels(source: LabelSource): EffectiveLabels {
    return new EffectiveLabels(source, this.#profileLabels);
  }

  #reevaluate(group: Group<Item>, id: string): void {
    const known = this.#selectors.get(id);
    if (known === undefined) return;
    const matched = this.#matches(known, this.effectiveLabels(group.source));
    if (matched === group.matched.has(id)) return;
    this.#note(group, id, known, matched);
    for (const { item } of group.entries) this.#onMatch(id, item, matched);
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

  #groupFor({ labels, profiles }: LabelSource): Group<Item> {
    const signature = this.#signatureOf(labels, profiles);
    const known = this.#groups.get(signature);
    if (known !== undefined) return known;
    const named = Object.entries(labels).filter(([label]) => this.#namedLabels.has(label));
    const source = { labels: Object.fromEntries(named), profiles };
    const group: Group<Item> = { signature, source, entries: new Set(), matched: new Set() };
    this.#groups.set(signature, group);
    for (const profile of profiles) {
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

  /**
   * Of other labels that are named, or other profiles, it is another: each part is preceded by its length. The same labels in
   * another order cost a group of their own, sorting them each time would cost more.
   */
  #signatureOf(labels: LabelSource["labels"], profiles: LabelSource["profiles"]): string {
    let text = "";
    for (const label in labels) if (this.#namedLabels.has(label)) text += part(label) + part(labels[label] ?? "");
    text += "|";
    for (const profile of profiles) text += part(profile);
    return text;
  }

  /** The entry is gone from the index, or another is about to take its place in `next`. */
  #leave(entry: Entry<Item>, next: Group<Item> | undefined): void {
    const { group, item } = entry;
    if (group === undefined) return;
    for (const selector of group.matched) this.#onMatch(selector, item, false);
    group.entries.delete(entry);
    if (group !== next) this.#dropIfEmpty(group);
  }

  #dropIfEmpty(group: Group<Item>): void {
    if (group.entries.size > 0) return;
    this.#groups.delete(group.signature);
    this.#unlist(group);
    for (const selector of group.matched) this.#selectors.get(selector)?.groups.delete(group);
    for (const profile of group.source.profiles) {
      const groups = this.#groupsOfProfile.get(profile);
      groups?.delete(group);
      if (groups?.size === 0) this.#groupsOfProfile.delete(profile);
    }
  }

  #nameLabels(selectors: readonly Selector[]): void {
    const added = new Set<string>();
    for (const label of selectors.flatMap(labelsIn)) {
      const before = this.#namedLabels.get(label) ?? 0;
      this.#namedLabels.set(label, before + 1);
      if (before === 0) added.add(label);
    }
    // Profiles may have them; whoever has them itself stands in another group afterwards.
    for (const label of added) {
      for (const group of this.#groups.values()) {
        const value = this.effectiveLabels(group.source).get(label);
        if (value !== undefined) this.#groupsByLabel.add({ label, value }, group);
      }
    }
    if (added.size > 0 || this.#selectors.size === 0) this.#regroup(added);
  }

  /** Those that no selector has asked for, and those that have one of these labels. */
  #regroup(added: ReadonlySet<string>): void {
    const labels = [...added];
    for (const entry of this.#entries.values()) {
      const before = entry.group;
      if (before !== undefined && !labels.some((label) => Object.hasOwn(entry.source.labels, label))) continue;
      const group = this.#groupFor(entry.source);
      if (group === before) continue;
      // No selector that is there already names these labels: what matched goes on matching, and nobody need be told.
      group.entries.add(entry);
      entry.group = group;
      if (before === undefined) for (const selector of group.matched) this.#onMatch(selector, entry.item, true);
      before?.entries.delete(entry);
      if (before !== undefined) this.#dropIfEmpty(before);
    }
  }

  #unnameLabel(label: string): void {
    const left = (this.#namedLabels.get(label) ?? 1) - 1;
    if (left > 0) {
      this.#namedLabels.set(label, left);
      return;
    }
    this.#namedLabels.delete(label);
    this.#groupsByLabel.removeLabel(label);
  }

  #list(group: Group<Item>): void {
    for (const requirement of this.#namedOf(group)) this.#groupsByLabel.add(requirement, group);
  }

  #unlist(group: Group<Item>): void {
    for (const requirement of this.#namedOf(group)) this.#groupsByLabel.remove(requirement, group);
  }

  /** Its labels that selectors name. */
  #namedOf({ source }: Group<Item>): readonly LabelRequirement[] {
    return this.effectiveLabels(source)
      .entries()
      .flatMap(([label, value]) => (this.#namedLabels.has(label) ? [{ label, value }] : []));
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
  #candidates(group: Group<Item>): readonly string[] {
    const found = [...this.#broadSelectors];
    for (const { label, value } of this.#namedOf(group)) {
      for (const id of this.#selectorsByLabel.under({ label, value })) found.push(id);
      for (const id of this.#selectorsByLabel.under({ label, value: undefined })) found.push(id);
    }
    return found;
  }
}

/** Looked up instead of merged: most groups are asked for a label or two. */
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

function part(text: string): string {
  return `${text.length}:${text}`;
}
