/**
 * All of our packet filter: from what policy/ says to the steps that bring the kernel there.
 * - A function of the present state: the order, number and repetition of calls do not show in the result (property test).
 * - Only what an endpoint reaches is in the kernel: chains and sets are counted by who refers to them.
 * - A reference to something unknown is a chain that drops.
 * - Calls only note; transaction() costs what changed since the last one.
 * Absent on purpose: the kernel, I/O, time.
 */
import { type Cidr, hostCidr, type IpAddress, ipFamily, prefixLength } from "../../base/addresses.ts";
import type { InterfaceName } from "../../base/names.ts";
import {
  type ChainSpec,
  interfaceAddressKey,
  type Match,
  type Operation,
  type RuleSpec,
  type Verdict,
} from "../../kernel/nftables/ruleset.ts";
import { ruleOperations, type TableReadBack } from "../../kernel/nftables/tables.ts";
import type {
  EndpointEnforcement,
  HostEndpointEnforcement,
  HostSettings,
  PortMember,
  RuleList,
  RuleListId,
  SetId,
} from "../../policy/enforcement.ts";
import { AddressSets } from "./address-sets.ts";
import { baseChains, fixedSets } from "./base-chains.ts";
import {
  type EndpointShape,
  endpointRules,
  reachableFrom,
  shapeChain,
  shapeOf,
  type TierShape,
  tierRules,
  tierShapeChain,
} from "./chain-content.ts";
import { ChainGraph, type ChainNode, type HashedChain } from "./chain-graph.ts";
import { names, type PolicyDirection, ruleListChain, sourcesChain } from "./chain-names.ts";
import { DscpMarking } from "./dscp-marking.ts";
import { FixedNetworks } from "./fixed-networks.ts";
import { failsafeChains, HostEndpoints } from "./host-endpoints.ts";
import { ruleSettingsFor } from "./log-prefix.ts";
import { PacketLimits } from "./packet-limits.ts";
import { PortSets } from "./port-sets.ts";
import { dropRule, portSetsUsed, renderRules, setsUsed } from "./rule-rendering.ts";
import { SiblingTargets, siblingHooks, siblingMap, siblingMaps, siblingRules } from "./sibling-datagrams.ts";
import { type SetCounts, TrackedSets } from "./tracked-sets.ts";

export interface FilterCounts extends SetCounts {
  readonly chains: number;
  readonly rules: number;
}

interface Programmed {
  readonly endpoint: EndpointEnforcement;
  readonly chains: readonly ChainNode[];
}

export class Ruleset {
  readonly #sets = new TrackedSets();
  readonly #graph = new ChainGraph((id, used) => this.#setUse(id, used));
  readonly #lists = new Map<RuleListId, RuleList>();
  readonly #addressSets = new AddressSets(this.#sets, (id) => this.#graph.setChanged(id));
  readonly #portSets = new PortSets(this.#sets, (id) => this.#graph.setChanged(portSetKey(id)));
  readonly #programmed = new Map<InterfaceName, Programmed>();
  readonly #hosts: HostEndpoints;
  readonly #siblings = new SiblingTargets();
  readonly #limits = new PacketLimits(this.#sets, this.#graph);
  readonly #dscp = new DscpMarking(this.#sets, this.#graph);
  readonly #networks = new FixedNetworks(this.#sets);
  #hostAddresses: readonly IpAddress[] = [];
  #settings: HostSettings;
  #tableExists = false;

  constructor(settings: HostSettings) {
    this.#settings = settings;
    this.#hosts = new HostEndpoints(this.#sets, this.#graph, (shape) => this.#shapeNode(shape));
    for (const set of fixedSets) this.#sets.wantSet(set);
    this.#fix();
  }

  settings(settings: HostSettings): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.hostAddresses(this.#hostAddresses);
    this.#fix();
    this.#graph.everythingChanged();
  }

  /** Whose host endpoint an interface is; "*" for all that are nobody's. */
  hostEndpoints(endpoints: ReadonlyMap<string, HostEndpointEnforcement>): void {
    const hosts = this.#hosts.program(endpoints);
    if (this.#dscp.hostEndpoints(endpoints) || hosts) this.#fix();
  }

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.#addressSets.define(id, members);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.#addressSets.change(id, added, removed);
  }

  portSet(id: SetId, members: ReadonlySet<PortMember> | undefined): void {
    this.#portSets.define(id, members);
  }

  portSetDelta(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void {
    this.#portSets.change(id, added, removed);
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    if (list === undefined) this.#lists.delete(id);
    else this.#lists.set(id, list);
    this.#graph.listChanged(id);
  }

  /** What is enforced on an interface; undefined: it becomes unknown, and so closed. */
  endpoint(name: InterfaceName, endpoint: EndpointEnforcement | undefined): void {
    const before = this.#programmed.get(name);
    const after = endpoint === undefined ? undefined : this.#program(endpoint);
    if (after === undefined) this.#programmed.delete(name);
    else this.#programmed.set(name, after);
    for (const chain of before?.chains ?? []) this.#graph.release(chain);
    const limits = this.#limits.program(name, endpoint?.limits);
    if (this.#dscp.endpoint(name, endpoint?.dscp) || limits) this.#fix();
    // A closed one may not send at all, and nobody but the host send to it: open connections end with it.
    const [to, from, sources] = after?.chains ?? [];
    const kept = new Set(to === undefined || endpoint === undefined ? [] : sourcesOf(endpoint));
    for (const address of before === undefined ? [] : sourcesOf(before.endpoint))
      if (!kept.has(address)) this.#wantSource(name, address, false);
    for (const address of kept) this.#wantSource(name, address, true);
    this.#wantSiblings(name, endpoint);
    const known = after === undefined ? undefined : { key: name };
    this.#sets.wantElement(names.endpoints, name, to === undefined ? undefined : known);
    this.#sets.wantElement(names.closed, name, to === undefined ? known : undefined);
    const verdict = (chain: ChainNode | undefined): Verdict => (chain === undefined ? "drop" : { goto: chain.name });
    this.#sets.wantElement(names.toEndpoint, name, known && { ...known, verdict: verdict(to) });
    this.#sets.wantElement(names.fromEndpoint, name, known && { ...known, verdict: verdict(from) });
    this.#sets.wantElement(names.spoofing, name, sources && known && { ...known, verdict: verdict(sources) });
  }

  /** Why an endpoint's packets are limited to none: the kernel cannot count them. */
  limitProblemOf(name: InterfaceName): string | undefined {
    const refused = new Set(this.#graph.refused);
    return this.#limits.chainsOf(name).some((chain) => refused.has(chain))
      ? "this kernel cannot limit its packets or connections (CONFIG_NFT_LIMIT, CONFIG_NFT_CONNLIMIT): it is closed"
      : undefined;
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    const natted = pools.filter(({ natOutgoing }) => natOutgoing);
    for (const [set, wanted] of [
      [{ 4: names.pools4, 6: names.pools6 }, pools],
      [{ 4: names.natPools4, 6: names.natPools6 }, natted],
    ] as const)
      this.#networks.want(
        set,
        wanted.map(({ cidr }) => cidr),
      );
  }

  hostAddresses(addresses: readonly IpAddress[]): void {
    this.#hostAddresses = addresses;
    this.#networks.want({ 4: names.hosts4, 6: names.hosts6 }, [
      ...addresses.map(hostCidr),
      ...this.#settings.externalHosts,
    ]);
  }

  /** A read-back of our table, or undefined when there is none. @returns how many steps it makes necessary. */
  observed(readBack: TableReadBack | undefined): number {
    this.#graph.renderDirty();
    this.#tableExists = readBack !== undefined;
    this.#sets.observed(readBack);
    const chains = new Map<string, HashedChain>();
    for (const [name, hash] of readBack?.chains ?? []) chains.set(name, { chain: { name }, rules: [], hash });
    this.#graph.tracker.observed(chains);
    return this.pendingCount;
  }

  /** What the kernel has said yes to. Rules are counted as they were written, not as somebody may have changed them. */
  get counts(): FilterCounts {
    const chains = this.#graph.tracker.allActual;
    let rules = 0;
    for (const [name] of chains) rules += this.#graph.tracker.desired(name)?.rules.length ?? 0;
    return { chains: chains.size, rules, ...this.#sets.counts };
  }

  get pendingCount(): number {
    const { pendingPuts, pendingRemovals } = this.#graph.tracker;
    return this.#sets.pendingCount + pendingPuts.size + pendingRemovals.size + this.#graph.dirtyCount;
  }

  /**
   * Every hook has a chain that one of us wrote, this version or an earlier one. Without, packets pass unjudged: somebody
   * flushed or deleted a part. A version that gives a base chain another name has to look for the old one, too.
   */
  get standsWhole(): boolean {
    const { tracker } = this.#graph;
    const hooked = baseChains(this.#settings, false).filter(({ chain }) => chain.hook !== undefined);
    return this.#tableExists && hooked.every(({ chain }) => isWritten(tracker.actual(chain.name)?.hash));
  }

  get tableExists(): boolean {
    return this.#tableExists;
  }

  /** True when the difference cannot be walked in steps: the table has to be replaced as a whole (in one transaction). */
  get needsReplacement(): boolean {
    if (!this.#tableExists || this.#sets.conflict) return true;
    const { tracker } = this.#graph;
    for (const name of tracker.pendingPuts.keys())
      if (this.#graph.isFixed(name) && tracker.actual(name) !== undefined) return true;
    return false;
  }

  /** @param sweep also remove what nobody wants; false while the store may not have told everything yet. */
  transaction(options: { sweep: boolean; replace: boolean }): Operation[] {
    this.#graph.renderDirty();
    if (options.replace) return this.#everything();
    const { sets, removals, puts } = this.#sets.additions(options.sweep);
    const added: Operation[] = [];
    const rules: Operation[] = [];
    for (const [name, { chain, rules: content }] of this.#graph.tracker.pendingPuts) {
      if (this.#graph.tracker.actual(name) === undefined) added.push({ op: "add-chain", chain });
      else rules.push({ op: "flush-chain", chain: name });
      rules.push(...ruleOperations(chain, content));
    }
    const unwanted = options.sweep ? [...this.#graph.tracker.pendingRemovals] : [];
    return [
      ...sets,
      ...added,
      ...removals,
      ...rules,
      ...puts,
      // All emptied before the first is deleted: they may refer to each other, to sets, and maps to them.
      ...unwanted.map((chain): Operation => ({ op: "flush-chain", chain })),
      ...(options.sweep ? this.#sets.removals() : []),
      ...unwanted.map((chain): Operation => ({ op: "delete-chain", chain })),
    ];
  }

  /** The kernel has said yes to the transaction made with the same options, and nothing was called in between. */
  applied(options: { sweep: boolean; replace: boolean }): void {
    this.#tableExists = true;
    if (options.replace) {
      this.#sets.appliedEverything();
      this.#graph.tracker.observed(new Map(this.#graph.tracker.allDesired));
      return;
    }
    this.#sets.applied(options.sweep);
    for (const [name, content] of [...this.#graph.tracker.pendingPuts]) this.#graph.tracker.applied(name, content);
    if (options.sweep)
      for (const name of [...this.#graph.tracker.pendingRemovals]) this.#graph.tracker.applied(name, undefined);
  }

  #everything(): Operation[] {
    const chains = [...this.#graph.tracker.allDesired.values()];
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

  closeRefused(accepts: (chain: ChainSpec, rules: readonly RuleSpec[]) => boolean): string[] {
    return this.#graph.closeRefused(accepts);
  }

  get refusedChains(): Iterable<string> {
    return this.#graph.refused;
  }

  #fix(): void {
    const { interfacePrefixes: prefixes } = this.#settings;
    this.#graph.fix([
      ...baseChains(this.#settings, this.#hosts.any),
      ...(this.#hosts.any ? [...this.#hosts.dispatchChains(prefixes), ...failsafeChains(this.#settings)] : []),
      ...this.#limits.fixedChains(),
      ...this.#dscp.fixedChains(prefixes),
    ]);
  }

  #program(endpoint: EndpointEnforcement): Programmed {
    // Closed: no chains, the dispatch maps drop, replies of open connections included.
    if (endpoint.problems.length > 0) return { endpoint, chains: [] };
    const chains = (["inbound", "outbound"] as const).map((direction) => this.#shapeNode(shapeOf(endpoint, direction)));
    const sources = endpoint.allowedSources ?? [];
    if (sources.length > 0) chains.push(this.#sourcesNode(sources));
    for (const chain of chains) this.#graph.refer(chain);
    return { endpoint, chains };
  }

  #wantSource(name: InterfaceName, address: IpAddress, wanted: boolean): void {
    const set = ipFamily(address) === 4 ? names.sources4 : names.sources6;
    const key = interfaceAddressKey(name, address);
    this.#sets.wantElement(set, key, wanted ? { key } : undefined);
  }

  #wantSiblings(name: InterfaceName, endpoint: EndpointEnforcement | undefined): void {
    const hadAny = this.#siblings.any;
    const changed = this.#siblings.program(name, endpoint);
    const { any } = this.#siblings;
    if (any && !hadAny) for (const map of siblingMaps) this.#sets.wantSet(map);
    for (const key of changed) {
      const address = this.#siblings.of(key);
      this.#sets.wantElement(siblingMap(key), key, address && { key, address });
    }
    if (any === hadAny) return;
    for (const { name: chain, hook } of siblingHooks) {
      const node = this.#graph.node(chain, [], () => ({ rules: siblingRules, chains: [], sets: [] }), hook);
      if (any) this.#graph.refer(node);
      else this.#graph.release(node);
    }
    if (!any) for (const map of siblingMaps) this.#sets.unwantSet(map.name);
  }

  #setUse(id: SetId, used: boolean): void {
    const isPortSet = id.startsWith(portSetKey(""));
    const name = isPortSet ? id.slice(portSetKey("").length) : id;
    const sets = isPortSet ? this.#portSets : this.#addressSets;
    if (used) sets.enterKernel(name);
    else sets.leaveKernel(name);
  }

  readonly #mayPass = (direction: PolicyDirection) => (id: RuleListId) =>
    this.#lists.get(id)?.[direction].some((rule) => rule.action === "pass") ?? false;

  #shapeNode(shape: EndpointShape): ChainNode {
    const { direction } = shape;
    return this.#graph.node(
      shapeChain(shape),
      shape.tiers.flatMap((tier) => tier.lists),
      () => {
        const mayPass = this.#mayPass(direction);
        const reached = reachableFrom(shape, mayPass);
        const chains = [
          ...reached.lists.map((list) => this.#listNode(list, direction)),
          ...reached.tiers.map((tier) => this.#tierNode(tier, direction)),
        ];
        return { rules: endpointRules(shape, this.#settings, mayPass), chains, sets: [] };
      },
    );
  }

  #tierNode(tier: TierShape, direction: PolicyDirection): ChainNode {
    return this.#graph.node(tierShapeChain(direction, tier), tier.lists, () => ({
      rules: tierRules(direction, tier, this.#settings, this.#mayPass(direction)),
      chains: tier.lists.map((list) => this.#listNode(list, direction)),
      sets: [],
    }));
  }

  #listNode(id: RuleListId, direction: PolicyDirection): ChainNode {
    return this.#graph.node(ruleListChain(id, direction), [id], () => {
      const rules = this.#lists.get(id)?.[direction];
      if (rules === undefined) return { rules: [dropRule("unknown rule list")], chains: [], sets: [] };
      const [addressSets, portSets] = [[...setsUsed(rules)], [...portSetsUsed(rules)]];
      const missing =
        addressSets.some((set) => !this.#addressSets.has(set)) || portSets.some((set) => !this.#portSets.has(set));
      return {
        rules: missing
          ? [dropRule("unknown address set")]
          : renderRules(rules, this.#addressSets.hasNetworks, ruleSettingsFor(id, this.#settings)),
        chains: [],
        sets: [...addressSets, ...portSets.map(portSetKey)],
      };
    });
  }

  #sourcesNode(networks: readonly Cidr[]): ChainNode {
    return this.#graph.node(sourcesChain(JSON.stringify(networks)), [], () => ({
      rules: [...sourceRules(networks), dropRule("forged source")],
      chains: [],
      sets: [],
    }));
  }
}

/** The addresses that its packets may come from. */
function sourcesOf({ addresses, siblingAddresses = [] }: EndpointEnforcement): readonly IpAddress[] {
  return [...addresses, ...siblingAddresses];
}

/** @param hash as read back (tables.ts): "" for rules that nobody wrote so, "empty" for none. */
function isWritten(hash: string | undefined): boolean {
  return hash !== undefined && hash !== "" && hash !== "empty";
}

/** Address sets and port sets may have the same name. */
function portSetKey(id: SetId): SetId {
  return `port:${id}`;
}

function sourceRules(networks: readonly Cidr[]): RuleSpec[] {
  return ([4, 6] as const).flatMap((family): RuleSpec[] => {
    const own = networks.filter((network) => ipFamily(network) === family);
    if (own.length === 0) return [];
    const match: Match = own.some((network) => prefixLength(network) === 0)
      ? { match: "family", family }
      : { match: "address", side: "source", family, networks: own };
    return [{ matches: [match], actions: [{ do: "accept" }] }];
  });
}
