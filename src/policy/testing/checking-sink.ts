/**
 * A receiver of enforcement that refuses what the kernel would refuse: a reference to something unknown, the removal of
 * something still referenced, a delta that does not fit. It can print what it holds.
 */

import type { Cidr, IpAddress } from "../../base/addresses.ts";
import { invariant } from "../../base/errors.ts";
import { listsOfEndpoint, listsOfHostEndpoint } from "../endpoint-enforcement.ts";
import type {
  EndpointEnforcement,
  EnforcementSink,
  HostEndpointEnforcement,
  HostSettings,
  PortMember,
  RuleList,
  RuleListId,
  SetId,
} from "../enforcement.ts";

export class CheckingSink implements EnforcementSink {
  readonly sets = new Map<SetId, Set<Cidr>>();
  readonly lists = new Map<RuleListId, RuleList>();
  readonly portSets = new Map<SetId, Set<PortMember>>();
  readonly endpoints = new Map<string, EndpointEnforcement>();
  readonly hostEndpoints = new Map<string, HostEndpointEnforcement>();
  settings: HostSettings | undefined;
  hosts: readonly IpAddress[] | undefined;
  pools: readonly { cidr: Cidr; natOutgoing: boolean }[] | undefined;
  routes: ReadonlyMap<Cidr, IpAddress> | undefined;
  blocks: readonly Cidr[] | undefined;
  /** Every call, by its name and subject. */
  readonly calls: string[] = [];

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.calls.push(`${members === undefined ? "-" : "+"}set ${id}`);
    if (members !== undefined) {
      this.sets.set(id, new Set(members));
      return;
    }
    for (const [list, rules] of this.lists) invariant(!setsOf(rules).has(id), `set ${id} is used by ${list}`);
    invariant(this.sets.delete(id), `set ${id} is there`);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.calls.push(`set ${id} +${added.length} -${removed.length}`);
    const set = this.sets.get(id);
    invariant(set !== undefined, `set ${id} is there`);
    invariant(added.length + removed.length > 0, "a delta changes something");
    for (const member of removed) invariant(set.delete(member), `${member} was in ${id}`);
    for (const member of added) {
      invariant(!set.has(member), `${member} was not in ${id}`);
      set.add(member);
    }
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    this.calls.push(`${list === undefined ? "-" : "+"}list ${id}`);
    if (list !== undefined) {
      for (const set of setsOf(list)) {
        invariant(this.sets.has(set) || this.portSets.has(set), `list ${id} refers to unknown set ${set}`);
      }
      invariant(JSON.stringify(this.lists.get(id)) !== JSON.stringify(list), `list ${id} is told for a reason`);
      this.lists.set(id, list);
      return;
    }
    invariant(!this.#usedLists().has(id), `list ${id} is not in use`);
    invariant(this.lists.delete(id), `list ${id} is there`);
  }

  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void {
    this.calls.push(`${endpoint === undefined ? "-" : "+"}endpoint ${key.split("/").at(-1)}`);
    if (endpoint === undefined) {
      invariant(this.endpoints.delete(key), `endpoint ${key} is there`);
      return;
    }
    for (const list of listsOfEndpoint(endpoint)) {
      invariant(this.lists.has(list), `${key} refers to unknown list ${list}`);
    }
    const closed = endpoint.tiers.length === 0 && endpoint.profiles.length === 0;
    invariant(endpoint.problems.length === 0 || closed, `${key} has problems and is closed`);
    this.endpoints.set(key, endpoint);
  }

  hostEndpoint(key: string, endpoint: HostEndpointEnforcement | undefined): void {
    this.calls.push(`${endpoint === undefined ? "-" : "+"}host endpoint ${key.split("/").at(-1)}`);
    if (endpoint === undefined) {
      invariant(this.hostEndpoints.delete(key), `host endpoint ${key} is there`);
      return;
    }
    const lists = listsOfHostEndpoint(endpoint);
    for (const list of lists) invariant(this.lists.has(list), `${key} refers to unknown list ${list}`);
    invariant(endpoint.problems.length === 0 || lists.size === 0, `${key} has problems and is closed`);
    this.hostEndpoints.set(key, endpoint);
  }

  hostSettings(settings: HostSettings): void {
    this.calls.push("settings");
    this.settings = settings;
  }

  hostAddresses(addresses: readonly IpAddress[]): void {
    this.calls.push("hosts");
    this.hosts = addresses;
  }

  portSet(id: SetId, members: ReadonlySet<PortMember> | undefined): void {
    this.calls.push(`${members === undefined ? "-" : "+"}port set ${id}`);
    if (members !== undefined) {
      this.portSets.set(id, new Set(members));
      return;
    }
    for (const [list, rules] of this.lists) invariant(!setsOf(rules).has(id), `port set ${id} is used by ${list}`);
    invariant(this.portSets.delete(id), `port set ${id} is there`);
  }

  portSetDelta(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void {
    this.calls.push(`port set ${id} +${added.length} -${removed.length}`);
    const set = this.portSets.get(id);
    invariant(set !== undefined && added.length + removed.length > 0, `port set ${id} is there and changes`);
    for (const member of removed) invariant(set.delete(member), `${member} was in ${id}`);
    for (const member of added) {
      invariant(!set.has(member), `${member} was not in ${id}`);
      set.add(member);
    }
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    this.calls.push("pools");
    this.pools = pools;
  }

  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void {
    this.calls.push("routes");
    this.routes = routes;
  }

  localBlocks(blocks: readonly Cidr[]): void {
    this.calls.push("blocks");
    this.blocks = blocks;
  }

  /** Nothing more than is needed: every set has a list, every list an endpoint. */
  checkNothingIdle(): void {
    const usedLists = this.#usedLists();
    for (const list of this.lists.keys()) invariant(usedLists.has(list), `list ${list} is used`);
    const usedSets = new Set([...this.lists.values()].flatMap((list) => [...setsOf(list)]));
    for (const set of [...this.sets.keys(), ...this.portSets.keys()])
      invariant(usedSets.has(set), `set ${set} is used`);
  }

  #usedLists(): ReadonlySet<RuleListId> {
    return new Set([
      ...[...this.endpoints.values()].flatMap((endpoint) => [...listsOfEndpoint(endpoint)]),
      ...[...this.hostEndpoints.values()].flatMap((endpoint) => [...listsOfHostEndpoint(endpoint)]),
    ]);
  }

  /** Everything it holds, in an order that does not depend on how it came there. */
  state(): unknown {
    const sorted = <Value>(map: Iterable<readonly [string, Value]>) =>
      Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    return {
      endpoints: sorted(this.endpoints),
      lists: sorted(this.lists),
      sets: sorted([...this.sets].map(([id, members]) => [id, [...members].sort()] as const)),
      hostEndpoints: sorted(this.hostEndpoints),
      portSets: sorted([...this.portSets].map(([id, members]) => [id, [...members].sort()] as const)),
      settings: this.settings,
      hosts: this.hosts,
      pools: this.pools,
      routes: sorted(this.routes ?? []),
      blocks: this.blocks,
    };
  }
}

function setsOf({ inbound, outbound }: RuleList): ReadonlySet<SetId> {
  const sides = [...inbound, ...outbound].flatMap(({ source, destination }) => [source, destination]);
  return new Set(
    sides.flatMap(({ sets, notSets, portSets = [], notPortSets = [] }) => [
      ...sets,
      ...notSets,
      ...portSets,
      ...notPortSets,
    ]),
  );
}
