/** Passes on what the policy calculation tells the data plane, and counts it by kind. */
import type { Cidr, IpAddress } from "../base/addresses.ts";
import type {
  EndpointEnforcement,
  EnforcementSink,
  HostEndpointEnforcement,
  HostSettings,
  HostSink,
  PortMember,
  PortSetSink,
  RuleList,
  RuleListId,
  SetId,
} from "../policy/enforcement.ts";

type FullSink = EnforcementSink & PortSetSink & HostSink;

export class CountedSink implements FullSink {
  readonly #sink: FullSink;
  readonly #counts = new Map<keyof FullSink, number>();

  constructor(sink: FullSink) {
    this.#sink = sink;
  }

  /** How often each was told. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.#count("addressSet").addressSet(id, members);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.#count("addressSetDelta").addressSetDelta(id, added, removed);
  }

  portSet(id: SetId, members: ReadonlySet<PortMember> | undefined): void {
    this.#count("portSet").portSet(id, members);
  }

  portSetDelta(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void {
    this.#count("portSetDelta").portSetDelta(id, added, removed);
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    this.#count("ruleList").ruleList(id, list);
  }

  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void {
    this.#count("endpoint").endpoint(key, endpoint);
  }

  hostEndpoint(key: string, endpoint: HostEndpointEnforcement | undefined): void {
    this.#count("hostEndpoint").hostEndpoint(key, endpoint);
  }

  hostSettings(settings: HostSettings): void {
    this.#count("hostSettings").hostSettings(settings);
  }

  hostAddresses(addresses: readonly IpAddress[]): void {
    this.#count("hostAddresses").hostAddresses(addresses);
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    this.#count("natPools").natPools(pools);
  }

  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void {
    this.#count("remoteRoutes").remoteRoutes(routes);
  }

  localBlocks(blocks: readonly Cidr[]): void {
    this.#count("localBlocks").localBlocks(blocks);
  }

  #count(kind: keyof FullSink): FullSink {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    return this.#sink;
  }
}
