/**
 * All of our packet filter: from what policy/ says to the steps that bring the kernel there.
 * - A function of the present state: the order, number and repetition of calls do not show in the result (property test).
 * - Only what an endpoint reaches is in the kernel: chains and sets are counted by who refers to them.
 * - A reference to something unknown is a chain that drops.
 * - Calls only note; transaction() costs what changed since the last one.
 * Absent on purpose: the kernel, I/O, time.
 */
import { type Cidr, type IpAddress, ipFamily } from "../../base/addresses.ts";
import type { InterfaceName } from "../../base/names.ts";
import { Tracker } from "../../base/tracker.ts";
import { CoveredNetworks } from "../../kernel/nftables/networks.ts";
import {
  type ChainSpec,
  interfaceAddressKey,
  type Operation,
  type RuleSpec,
  type Verdict,
} from "../../kernel/nftables/ruleset.ts";
import { chainHash, ruleOperations, type TableReadBack } from "../../kernel/nftables/tables.ts";
import type { EndpointEnforcement, RuleList, RuleListId, SetId } from "../../policy/enforcement.ts";
import { AddressSets } from "./address-sets.ts";
import { type BaseChainOptions, baseChains, type ChainContent, fixedSets } from "./base-chains.ts";
import { endpointRules, reachableFrom, shapeChain, shapeOf, tierRules, tierShapeChain } from "./chain-content.ts";
import { names, type PolicyDirection, ruleListChain } from "./chain-names.ts";
import { dropRule, renderRules, setsUsed } from "./rule-rendering.ts";
import { TrackedSets } from "./tracked-sets.ts";

/** A chain as long as something refers to it. */
interface ChainNode {
  readonly name: string;
  references: number;
  /** Chains and address sets this one refers to, as of its last rendering. */
  chains: readonly ChainNode[];
  sets: readonly SetId[];
  readonly render: () => { rules: readonly RuleSpec[]; chains: readonly ChainNode[]; sets: readonly SetId[] };
  /** Lists whose content this rendering depends on. */
  readonly dependsOn: readonly RuleListId[];
}

interface Programmed {
  readonly endpoint: EndpointEnforcement;
  readonly chains: readonly ChainNode[];
}

export class Ruleset {
  readonly #sets = new TrackedSets();
  readonly #chains = new Tracker<string, ChainContent & { hash: string }>((a, b) => a.hash === b.hash);
  readonly #baseNames: ReadonlySet<string>;
  readonly #nodes = new Map<string, ChainNode>();
  readonly #dirty = new Set<ChainNode>();
  readonly #lists = new Map<RuleListId, RuleList>();
  /** Who must be rendered anew when a list, or the existence of an address set, changes. */
  readonly #byList = new Map<RuleListId, Set<ChainNode>>();
  readonly #bySet = new Map<SetId, Set<ChainNode>>();
  readonly #addressSets = new AddressSets(this.#sets, (id) => this.#touch(this.#bySet.get(id)));
  readonly #programmed = new Map<InterfaceName, Programmed>();
  /** Chains the kernel cannot do, with the hash of what it refused: closed until they say something else. */
  readonly #refused = new Map<string, string>();
  readonly #poolNetworks = new Map<string, ReadonlySet<Cidr>>();
  #tableExists = false;

  constructor(options: BaseChainOptions) {
    for (const set of fixedSets) this.#sets.wantSet(set);
    const base = baseChains(options);
    this.#baseNames = new Set(base.map(({ chain }) => chain.name));
    for (const content of base) this.#wantChain(content);
  }

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.#addressSets.define(id, members);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.#addressSets.change(id, added, removed);
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    if (list === undefined) this.#lists.delete(id);
    else this.#lists.set(id, list);
    this.#touch(this.#byList.get(id));
  }

  /** What is enforced on an interface; undefined: it becomes unknown, and so closed. */
  endpoint(name: InterfaceName, endpoint: EndpointEnforcement | undefined): void {
    const before = this.#programmed.get(name);
    const after = endpoint === undefined ? undefined : this.#program(endpoint);
    if (after === undefined) this.#programmed.delete(name);
    else this.#programmed.set(name, after);
    for (const chain of before?.chains ?? []) this.#release(chain);
    const kept = new Set(after?.endpoint.addresses ?? []);
    for (const address of before?.endpoint.addresses ?? [])
      if (!kept.has(address)) this.#wantSource(name, address, false);
    for (const address of kept) this.#wantSource(name, address, true);
    const known = after === undefined ? undefined : { key: name };
    this.#sets.wantElement(names.endpoints, name, known);
    const verdict = (chain: ChainNode | undefined): Verdict => (chain === undefined ? "drop" : { goto: chain.name });
    const [to, from] = after?.chains ?? [];
    this.#sets.wantElement(names.toEndpoint, name, known && { ...known, verdict: verdict(to) });
    this.#sets.wantElement(names.fromEndpoint, name, known && { ...known, verdict: verdict(from) });
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    for (const [all, onlyNat] of [
      [{ 4: names.pools4, 6: names.pools6 }, false],
      [{ 4: names.natPools4, 6: names.natPools6 }, true],
    ] as const) {
      const wanted = new CoveredNetworks();
      for (const pool of pools) if (!onlyNat || pool.natOutgoing) wanted.add(pool.cidr);
      this.#poolNetworks.get(all[4])?.forEach((cidr) => {
        if (!wanted.visible.has(cidr)) this.#sets.wantElement(all[ipFamily(cidr)], cidr, undefined);
      });
      for (const cidr of wanted.visible) this.#sets.wantElement(all[ipFamily(cidr)], cidr, { key: cidr });
      this.#poolNetworks.set(all[4], new Set(wanted.visible));
    }
  }

  /** A read-back of our table, or undefined when there is none. @returns how many steps it makes necessary. */
  observed(readBack: TableReadBack | undefined): number {
    this.#renderDirty();
    this.#tableExists = readBack !== undefined;
    this.#sets.observed(readBack);
    const chains = new Map<string, ChainContent & { hash: string }>();
    for (const [name, hash] of readBack?.chains ?? []) chains.set(name, { chain: { name }, rules: [], hash });
    this.#chains.observed(chains);
    return this.pendingCount;
  }

  get pendingCount(): number {
    return (
      this.#sets.pendingCount + this.#chains.pendingPuts.size + this.#chains.pendingRemovals.size + this.#dirty.size
    );
  }

  get tableExists(): boolean {
    return this.#tableExists;
  }

  /** True when the difference cannot be walked in steps: the table has to be replaced as a whole (in one transaction). */
  get needsReplacement(): boolean {
    if (!this.#tableExists || this.#sets.conflict) return true;
    for (const name of this.#chains.pendingPuts.keys()) if (this.#baseNames.has(name)) return true;
    return false;
  }

  /** @param sweep also remove what nobody wants; false while the store may not have told everything yet. */
  transaction(options: { sweep: boolean; replace: boolean }): Operation[] {
    this.#renderDirty();
    if (options.replace) return this.#everything();
    const { sets, removals, puts } = this.#sets.additions(options.sweep);
    const added: Operation[] = [];
    const rules: Operation[] = [];
    for (const [name, { chain, rules: content }] of this.#chains.pendingPuts) {
      if (this.#chains.actual(name) === undefined) added.push({ op: "add-chain", chain });
      else rules.push({ op: "flush-chain", chain: name });
      rules.push(...ruleOperations(chain, content));
    }
    const unwanted = options.sweep ? [...this.#chains.pendingRemovals] : [];
    return [
      ...sets,
      ...added,
      ...removals,
      ...rules,
      ...puts,
      // All emptied before the first is deleted: they may refer to each other.
      ...unwanted.map((chain): Operation => ({ op: "flush-chain", chain })),
      ...unwanted.map((chain): Operation => ({ op: "delete-chain", chain })),
      ...(options.sweep ? this.#sets.removals() : []),
    ];
  }

  /** The kernel has said yes to the transaction made with the same options, and nothing was called in between. */
  applied(options: { sweep: boolean; replace: boolean }): void {
    this.#tableExists = true;
    if (options.replace) {
      this.#sets.appliedEverything();
      this.#chains.observed(new Map(this.#chains.allDesired));
      return;
    }
    this.#sets.applied(options.sweep);
    for (const [name, content] of [...this.#chains.pendingPuts]) this.#chains.applied(name, content);
    if (options.sweep) for (const name of [...this.#chains.pendingRemovals]) this.#chains.applied(name, undefined);
  }

  #everything(): Operation[] {
    const chains = [...this.#chains.allDesired.values()];
    return [
      { op: "add-table" },
      { op: "delete-table" },
      { op: "add-table" },
      // Chains before elements, whose verdicts name them; base chains among them become effective with all the rest.
      ...chains.map(({ chain }): Operation => ({ op: "add-chain", chain })),
      ...this.#sets.everything(),
      ...chains.flatMap(({ chain, rules }) => ruleOperations(chain, rules)),
    ];
  }

  #program(endpoint: EndpointEnforcement): Programmed {
    // Closed: no chains, the dispatch maps drop, replies of open connections included.
    if (endpoint.problems.length > 0) return { endpoint, chains: [] };
    const chains = (["inbound", "outbound"] as const).map((direction) => this.#shapeNode(endpoint, direction));
    for (const chain of chains) this.#refer(chain);
    return { endpoint, chains };
  }

  #wantSource(name: InterfaceName, address: IpAddress, wanted: boolean): void {
    const set = ipFamily(address) === 4 ? names.sources4 : names.sources6;
    const key = interfaceAddressKey(name, address);
    this.#sets.wantElement(set, key, wanted ? { key } : undefined);
  }

  readonly #mayPass = (direction: PolicyDirection) => (id: RuleListId) =>
    this.#lists.get(id)?.[direction].some((rule) => rule.action === "pass") ?? false;

  #shapeNode(endpoint: EndpointEnforcement, direction: PolicyDirection): ChainNode {
    const shape = shapeOf(endpoint, direction);
    return this.#node(
      shapeChain(shape),
      shape.tiers.flatMap((tier) => tier.lists),
      () => {
        const mayPass = this.#mayPass(direction);
        const reached = reachableFrom(shape, mayPass);
        const chains = [
          ...reached.lists.map((list) => this.#listNode(list, direction)),
          ...reached.tiers.map((tier) =>
            this.#node(tierShapeChain(direction, tier), tier.lists, () => ({
              rules: tierRules(direction, tier, this.#mayPass(direction)),
              chains: tier.lists.map((list) => this.#listNode(list, direction)),
              sets: [],
            })),
          ),
        ];
        return { rules: endpointRules(shape, mayPass), chains, sets: [] };
      },
    );
  }

  #listNode(id: RuleListId, direction: PolicyDirection): ChainNode {
    return this.#node(ruleListChain(id, direction), [id], () => {
      const rules = this.#lists.get(id)?.[direction];
      if (rules === undefined) return { rules: [dropRule("unknown rule list")], chains: [], sets: [] };
      const sets = [...setsUsed(rules)];
      const missing = sets.some((set) => !this.#addressSets.has(set));
      return {
        rules: missing ? [dropRule("unknown address set")] : renderRules(rules, this.#addressSets.hasNetworks),
        chains: [],
        sets,
      };
    });
  }

  #node(name: string, dependsOn: readonly RuleListId[], render: ChainNode["render"]): ChainNode {
    const existing = this.#nodes.get(name);
    return existing ?? { name, references: 0, chains: [], sets: [], render, dependsOn };
  }

  #refer(node: ChainNode): void {
    if (node.references++ > 0) return;
    this.#nodes.set(node.name, node);
    for (const list of node.dependsOn) addTo(this.#byList, list, node);
    this.#render(node);
  }

  #release(node: ChainNode): void {
    if (--node.references > 0) return;
    this.#nodes.delete(node.name);
    this.#dirty.delete(node);
    for (const list of node.dependsOn) deleteFrom(this.#byList, list, node);
    this.#chains.want(node.name, undefined);
    this.#refused.delete(node.name);
    this.#setReferencesOf(node, [], []);
  }

  /** Renders now; what it refers to comes before what it no longer refers to goes, so that shared chains stay. */
  #render(node: ChainNode): void {
    this.#dirty.delete(node);
    const { rules, chains, sets } = node.render();
    this.#setReferencesOf(node, chains, sets);
    this.#wantChain({ chain: { name: node.name }, rules });
  }

  #setReferencesOf(node: ChainNode, chains: readonly ChainNode[], sets: readonly SetId[]): void {
    // The same list may be named twice, and be new: one node for both.
    const unique = [...new Map(chains.map((chain) => [chain.name, chain])).values()];
    const [chainsBefore, setsBefore] = [node.chains, node.sets];
    node.chains = unique;
    node.sets = sets;
    for (const [at, chain] of unique.entries()) {
      // Referring to one may have brought another into being under the name of a later one.
      const known = this.#nodes.get(chain.name) ?? chain;
      unique[at] = known;
      this.#refer(known);
    }
    for (const set of sets) this.#referSet(set, node);
    for (const chain of chainsBefore) this.#release(chain);
    for (const set of setsBefore) if (!sets.includes(set)) this.#releaseSet(set, node);
  }

  #referSet(id: SetId, node: ChainNode): void {
    addTo(this.#bySet, id, node);
    this.#addressSets.enterKernel(id);
  }

  #releaseSet(id: SetId, node: ChainNode): void {
    deleteFrom(this.#bySet, id, node);
    if (!this.#bySet.has(id)) this.#addressSets.leaveKernel(id);
  }

  /**
   * Finds the chains of endpoints that make the kernel refuse the transaction, and closes them, so that one of them does
   * not hold up all others. @returns the names of those found now.
   */
  closeRefused(accepts: (chain: ChainSpec, rules: readonly RuleSpec[]) => boolean): string[] {
    const found: string[] = [];
    for (const [name, { hash, ...content }] of [...this.#chains.pendingPuts]) {
      if (this.#baseNames.has(name) || accepts(content.chain, content.rules)) continue;
      this.#refused.set(name, hash);
      this.#wantChain(content);
      found.push(name);
    }
    return found;
  }

  /** Chains that drop because the kernel cannot do what they should say. */
  get refusedChains(): Iterable<string> {
    return this.#refused.keys();
  }

  #wantChain(wanted: ChainContent): void {
    const { name } = wanted.chain;
    const wantedHash = chainHash(wanted.chain, wanted.rules);
    const closed = this.#refused.get(name) === wantedHash;
    if (!closed) this.#refused.delete(name);
    const content = closed ? { ...wanted, rules: [dropRule("the kernel cannot do this")] } : wanted;
    const hash = chainHash(content.chain, content.rules);
    this.#chains.want(content.chain.name, { ...content, hash });
  }

  #touch(nodes: ReadonlySet<ChainNode> | undefined): void {
    for (const node of nodes ?? []) this.#dirty.add(node);
  }

  #renderDirty(): void {
    for (const node of [...this.#dirty]) if (this.#dirty.has(node)) this.#render(node);
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
