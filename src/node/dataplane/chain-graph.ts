/**
 * Chains that refer to each other and to sets: each is in the kernel as long as something refers to it, and is rendered
 * anew when a rule list or set it depends on changes. Chains the kernel cannot do are closed instead. Pure.
 */
import { Tracker } from "../../base/tracker.ts";
import type { ChainSpec, Hook, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import { chainHash } from "../../kernel/nftables/tables.ts";
import type { RuleListId, SetId } from "../../policy/enforcement.ts";
import type { ChainContent } from "./base-rules.ts";
import { dropRule } from "./rule-rendering.ts";

export interface Rendering {
  readonly rules: readonly RuleSpec[];
  readonly chains: readonly ChainNode[];
  readonly sets: readonly SetId[];
}

/** A chain as long as something refers to it. */
export interface ChainNode {
  readonly name: string;
  references: number;
  /** Chains and sets this one refers to, as of its last rendering. */
  chains: readonly ChainNode[];
  sets: readonly SetId[];
  readonly render: () => Rendering;
  /** Lists whose content this rendering depends on. */
  readonly dependsOn: readonly RuleListId[];
  /** Of a base chain. */
  readonly hook?: Hook;
}

export type HashedChain = ChainContent & { readonly hash: string };

export class ChainGraph {
  readonly tracker = new Tracker<string, HashedChain>((a, b) => a.hash === b.hash);
  readonly #onSetUse: (id: SetId, used: boolean) => void;
  readonly #nodes = new Map<string, ChainNode>();
  readonly #dirty = new Set<ChainNode>();
  /** Who must be rendered anew when a list, or the existence of a set, changes. */
  readonly #byList = new Map<RuleListId, Set<ChainNode>>();
  readonly #bySet = new Map<SetId, Set<ChainNode>>();
  readonly #fixed = new Set<string>();
  /** Chains the kernel cannot do, with the hash of what it refused: closed until they say something else. */
  readonly #refused = new Map<string, string>();

  /** @param onSetUse a chain that was just rendered refers to the set; or nobody does any more. */
  constructor(onSetUse: (id: SetId, used: boolean) => void) {
    this.#onSetUse = onSetUse;
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  /** Chains that drop because the kernel cannot do what they should say. */
  get refused(): Iterable<string> {
    return this.#refused.keys();
  }

  isFixed(name: string): boolean {
    return this.#fixed.has(name);
  }

  /** Chains that are there whether referred to or not, in place of those fixed before. */
  fix(contents: readonly ChainContent[]): void {
    const wanted = new Set(contents.map(({ chain }) => chain.name));
    for (const name of this.#fixed) if (!wanted.has(name)) this.tracker.want(name, undefined);
    this.#fixed.clear();
    for (const name of wanted) this.#fixed.add(name);
    for (const content of contents) this.#want(content);
  }

  /** Not in the kernel yet: refer() puts it there. */
  node(name: string, dependsOn: readonly RuleListId[], render: ChainNode["render"], hook?: Hook): ChainNode {
    const existing = this.#nodes.get(name);
    const based = hook === undefined ? {} : { hook };
    return existing ?? { name, references: 0, chains: [], sets: [], render, dependsOn, ...based };
  }

  refer(node: ChainNode): void {
    if (node.references++ > 0) return;
    this.#nodes.set(node.name, node);
    for (const list of node.dependsOn) addTo(this.#byList, list, node);
    this.#render(node);
  }

  release(node: ChainNode): void {
    if (--node.references > 0) return;
    this.#nodes.delete(node.name);
    this.#dirty.delete(node);
    for (const list of node.dependsOn) deleteFrom(this.#byList, list, node);
    this.tracker.want(node.name, undefined);
    this.#refused.delete(node.name);
    this.#setReferencesOf(node, [], []);
  }

  listChanged(id: RuleListId): void {
    this.#touch(this.#byList.get(id));
  }

  setChanged(id: SetId): void {
    this.#touch(this.#bySet.get(id));
  }

  everythingChanged(): void {
    this.#touch(this.#nodes.values());
  }

  renderDirty(): void {
    for (const node of [...this.#dirty]) if (this.#dirty.has(node)) this.#render(node);
  }

  /**
   * Finds the chains that make the kernel refuse the transaction, and closes them, so that one of them does not hold up
   * all others. @returns the names of those found now.
   */
  closeRefused(accepts: (chain: ChainSpec, rules: readonly RuleSpec[]) => boolean): string[] {
    const found: string[] = [];
    for (const [name, { hash, ...content }] of [...this.tracker.pendingPuts]) {
      if (this.isFixed(name) || accepts(content.chain, content.rules)) continue;
      this.#refused.set(name, hash);
      this.#want(content);
      found.push(name);
    }
    return found;
  }

  /** Renders now; what it refers to comes before what it no longer refers to goes, so that shared chains stay. */
  #render(node: ChainNode): void {
    this.#dirty.delete(node);
    const { rules, chains, sets } = node.render();
    this.#setReferencesOf(node, chains, sets);
    this.#want({ chain: { name: node.name, ...(node.hook === undefined ? {} : { hook: node.hook }) }, rules });
  }

  #setReferencesOf(node: ChainNode, chains: readonly ChainNode[], sets: readonly SetId[]): void {
    // The same list may be named twice, and be new: one node for both.
    const unique = [...new Map(chains.map((chain) => [chain.name, chain])).values()];
    const before = { chains: node.chains, sets: node.sets };
    node.chains = unique;
    node.sets = sets;
    for (const [at, chain] of unique.entries()) {
      // Referring to one may have brought another into being under the name of a later one.
      const known = this.#nodes.get(chain.name) ?? chain;
      unique[at] = known;
      this.refer(known);
    }
    for (const set of sets) {
      addTo(this.#bySet, set, node);
      this.#onSetUse(set, true);
    }
    for (const chain of before.chains) this.release(chain);
    const kept = new Set(sets);
    for (const set of before.sets) {
      if (kept.has(set)) continue;
      deleteFrom(this.#bySet, set, node);
      if (!this.#bySet.has(set)) this.#onSetUse(set, false);
    }
  }

  #want(wanted: ChainContent): void {
    const { name } = wanted.chain;
    const wantedHash = chainHash(wanted.chain, wanted.rules);
    const closed = this.#refused.get(name) === wantedHash;
    if (!closed) this.#refused.delete(name);
    const content = closed ? { ...wanted, rules: [dropRule("the kernel cannot do this")] } : wanted;
    this.tracker.want(name, { ...content, hash: chainHash(content.chain, content.rules) });
  }

  #touch(nodes: Iterable<ChainNode> | undefined): void {
    for (const node of nodes ?? []) this.#dirty.add(node);
  }
}

function addTo<Key, Value>(map: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const values = map.get(key) ?? new Set<Value>();
  map.set(key, values.add(value));
}

function deleteFrom<Key, Value>(map: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}
