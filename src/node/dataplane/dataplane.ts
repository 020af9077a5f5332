/**
 * dataplane/ makes the kernel of one host enforce what policy/ decided: packet filter, routes, interface settings.
 * - Calls of EnforcementSink only note. apply() does the work, all of it: when it resolves, what was noted before it
 *   began is in force. It may be repeated at any time, and costs what changed.
 * - The packet filter changes in one transaction: at no instant is a part of it missing. Unknown interfaces are closed.
 * - Everything made here carries a mark (table name, route protocol, link alias, rule comment): a restarted process
 *   reads it back and goes on, and nothing else is ever touched. Nothing is removed before setInSync().
 * - What is believed about the kernel is what it confirmed or reported, never what was sent.
 * Absent on purpose: policy decisions, the store, removal on shutdown (the kernel goes on enforcing without us).
 *
 * This file: the order of things. The parts are filter-sync.ts, interface-sync.ts, route-sync.ts, host-interfaces.ts and filter-accept.ts;
 * how it all stands is told by standing.ts.
 */
import type { Cidr, IpAddress } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { InterfaceName } from "../../base/names.ts";
import { type HostNetwork, LinuxHostNetwork } from "../../kernel/host-network.ts";
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
} from "../../policy/enforcement.ts";
import {
  type ApplyTimings,
  type DataplaneCounters,
  newCounters,
  noTimings,
  type OnMeasured,
  PassSteps,
} from "./apply-measures.ts";
import { BandwidthSync } from "./bandwidth-sync.ts";
import { routeProtocol, tableName } from "./chain-names.ts";
import { defaultSettings } from "./default-settings.ts";
import { digest, measureChanges, type Parts, type Stale } from "./digest.ts";
import { acceptsDiffer, ensureFilterAccept, timedIptables } from "./filter-accept.ts";
import { FilterSync } from "./filter-sync.ts";
import { HostInterfaces } from "./host-interfaces.ts";
import { enableForwarding } from "./interface-settings.ts";
import { InterfaceSync, type VethRequest } from "./interface-sync.ts";
import { requireKernelFeatures } from "./kernel-features.ts";
import { MetadataName, type Resolve } from "./metadata-name.ts";
import { leadsToLoopback } from "./openstack.ts";
import { removeEverything } from "./remove-everything.ts";
import { RouteSync } from "./route-sync.ts";
import { Standing } from "./standing.ts";

export interface DataplaneOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Its address may become another one at any time. */
  readonly host: { readonly name: string; readonly address: IpAddress };
  /** Default: the network namespace of the calling thread. */
  readonly network?: HostNetwork;
  /** Addresses of a name. Default: nobody knows any. */
  readonly resolve?: Resolve;
  /** What holds until hostSettings() is called. */
  readonly settings?: Partial<HostSettings>;
  /** Everything is read back so often, whatever was reported. */
  readonly resyncEveryMs?: number;
  /** So often it is looked whether somebody changed something; a few receives that do not block. */
  readonly watchEveryMs?: number;
  /** Called when apply() has something to do that nobody asked for: drift, an interface that came up. */
  readonly onNeedsApply?: () => void;
  readonly onMeasured?: OnMeasured;
}

/** Whoever called the failed pass tries again with its own back-off; the watch keeps out of it. */
const pokeAfterFailureMs = 1_000;
const resyncEveryDefaultMs = 90_000;
const watchEveryDefaultMs = 100;

export class Dataplane implements EnforcementSink, PortSetSink, HostSink, AsyncDisposable {
  readonly #options: DataplaneOptions;
  readonly #network: HostNetwork;
  readonly #onMeasured: OnMeasured;
  /** As they came, and with names looked up. */
  #settingsTold: HostSettings;
  #settings: HostSettings;
  readonly #metadataName: MetadataName;
  readonly #filter: FilterSync;
  readonly #routes: RouteSync;
  readonly #interfaces: InterfaceSync;
  readonly #hostInterfaces: HostInterfaces;
  readonly #bandwidth: BandwidthSync;
  readonly #parts: Parts;
  readonly standing: Standing;
  /** What must be read back before anything is believed about it. */
  readonly #stale: Stale = { links: true, table: true, routes: true, forward: true };
  #usesIpv6 = false;
  #remoteRoutes: ReadonlyMap<Cidr, IpAddress> = new Map();
  /** The host's address when they were planned; undefined: they are not yet. */
  #routedFrom: IpAddress | undefined;
  #inSync = false;
  #lastResyncMs: number;
  #pokeNotBeforeMs = 0;
  #applying: Promise<void> = Promise.resolve();
  #watchTimer: Disposable | undefined;
  #closed = false;
  readonly counters: DataplaneCounters = newCounters();
  /** Milliseconds of the last apply() by step. */
  lastApplyTimings: ApplyTimings = noTimings;

  private constructor(options: DataplaneOptions, network: HostNetwork) {
    const { clock, log, onMeasured = () => {} } = options;
    const { counters } = this;
    this.#settingsTold = this.#settings = { ...defaultSettings, ...options.settings };
    const unknown: Resolve = async () => [];
    const onChange = () => {
      this.hostSettings(this.#settingsTold);
      options.onNeedsApply?.();
    };
    this.#metadataName = new MetadataName({ clock, resolve: options.resolve ?? unknown, onChange });
    this.#options = options;
    this.#network = network;
    this.#onMeasured = onMeasured;
    this.#filter = new FilterSync({ settings: this.#settings, network, counters, log });
    this.#routes = new RouteSync({
      network,
      counters,
      onMeasured,
      clock,
      log,
      settings: this.#settings,
      endpointInterface: (index) => this.#interfaces.endpoints.endpointInterface(index),
    });
    this.#interfaces = new InterfaceSync({
      network,
      plan: this.#routes.plan,
      prefixes: this.#settings.interfacePrefixes,
      hostAddress: () => options.host.address,
    });
    const isEndpointName = (name: string) => this.#interfaces.endpoints.isEndpointName(name);
    this.#hostInterfaces = new HostInterfaces(network, isEndpointName);
    this.#bandwidth = new BandwidthSync(network, isEndpointName);
    this.#parts = {
      interfaces: this.#interfaces,
      routes: this.#routes,
      hostInterfaces: this.#hostInterfaces,
      bandwidth: this.#bandwidth,
    };
    this.standing = new Standing(this.#parts, this.#filter.ruleset);
    this.#lastResyncMs = clock.monotonicMs();
  }

  /** Reads what the process before has left; changes nothing yet. @throws KERNEL_FEATURE_MISSING, and says which. */
  static async open(options: DataplaneOptions): Promise<Dataplane> {
    const network = options.network ?? LinuxHostNetwork.open({ routeProtocol, table: tableName });
    try {
      requireKernelFeatures(network);
      const dataplane = new Dataplane(options, network);
      dataplane.#readBack();
      dataplane.#watch();
      return dataplane;
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
  }

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.#filter.ruleset.addressSet(id, members);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.#filter.ruleset.addressSetDelta(id, added, removed);
  }

  portSet(id: SetId, members: ReadonlySet<PortMember> | undefined): void {
    this.#filter.ruleset.portSet(id, members);
  }

  portSetDelta(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void {
    this.#filter.ruleset.portSetDelta(id, added, removed);
  }

  hostSettings(told: HostSettings): void {
    this.#settingsTold = told;
    const settings = this.#metadataName.resolved(told);
    const before = this.#settings;
    this.#settings = settings;
    this.#filter.ruleset.settings(settings);
    this.#stale.forward ||= acceptsDiffer(before, settings);
    this.#routes.settings(settings);
    if (before.interfacePrefixes.join() === settings.interfacePrefixes.join()) return;
    for (const name of this.#interfaces.endpoints.setPrefixes(settings.interfacePrefixes)) this.#enforce(name);
    this.#hostInterfaces.prefixesChanged();
    this.#stale.links = true;
  }

  hostAddresses(addresses: readonly IpAddress[]): void {
    this.#filter.ruleset.hostAddresses(addresses);
  }

  hostEndpoint(key: string, endpoint: HostEndpointEnforcement | undefined): void {
    this.#hostInterfaces.set(key, endpoint);
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    this.#filter.ruleset.ruleList(id, list);
  }

  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void {
    this.#usesIpv6 ||= endpoint?.addresses.some((address) => address.includes(":")) ?? false;
    for (const name of this.#interfaces.endpoints.setEndpoint(key, endpoint)) this.#enforce(name);
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    this.#filter.ruleset.natPools(pools);
  }

  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void {
    this.#remoteRoutes = routes;
    this.#routedFrom = undefined;
  }

  localBlocks(blocks: readonly Cidr[]): void {
    this.#routes.plan.blackholes(blocks);
  }

  /** Everything the store holds was told: what is ours in the kernel and was not named is left over from before. */
  setInSync(): void {
    this.#inSync = true;
    this.#bandwidth.readBack();
  }

  /** Why endpoints of an OpenStack get no metadata; undefined: there is no such reason. */
  get metadataProblem(): string | undefined {
    return this.#metadataName.problem;
  }

  /**
   * For the time before the store has told anything, when apply() is not for: a packet filter that stands goes on as it
   * is; where somebody took it away, endpoints are closed instead of open to everybody. Repeat to go on.
   */
  async closeUnlessStanding(): Promise<void> {
    await this.#applying;
    if (this.#closed || this.#inSync) return;
    this.#digest();
    if (this.#stale.table) {
      this.#filter.readBack();
      this.#stale.table = false;
    }
    if (this.#filter.closeUnlessStanding()) this.#options.log.warn({ event: "packet_filter_missing" });
  }

  /** One pass; passes asked for at the same time follow each other. @throws OperationError; repeat to go on. */
  apply(signal?: AbortSignal): Promise<void> {
    const pass = this.#applying.then(() => this.#apply(signal));
    this.#applying = pass.catch(() => {}); // the caller gets the error; the next pass only waits
    return pass;
  }

  /** The host's end is up when this resolves and, if its endpoint is known, has its settings and routes. */
  async createVeth(request: VethRequest): Promise<void> {
    this.#digest();
    const name = this.#interfaces.createVeth(request);
    try {
      this.#digest();
      if (!this.#interfaces.waitsForSettings(name)) return;
      const failures = [
        ...this.#interfaces.configure(),
        ...(this.#bandwidth.wants(name) ? this.#bandwidth.apply(this.#inSync) : []),
        ...this.#routes.removeLocal(this.#inSync),
        ...this.#routes.put(),
      ];
      if (failures.length > 0) throw failures[0];
    } catch (error) {
      this.#network.deleteLink(name);
      throw error;
    }
  }

  /** No complaint when there is none. */
  async removeVeth(hostName: string): Promise<void> {
    this.#digest();
    await this.#interfaces.removeVeth(hostName);
  }

  async linkExists(name: string): Promise<boolean> {
    this.#digest();
    return this.#interfaces.endpoints.link(name) !== undefined;
  }

  /** Takes everything of ours out of the kernel, for `margay reset`. */
  async removeEverything(): Promise<void> {
    await this.#applying;
    await removeEverything(this.#network);
    this.#stale.links = this.#stale.table = this.#stale.routes = this.#stale.forward = true;
  }

  /** The kernel goes on enforcing what it has. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watchTimer?.[Symbol.dispose]();
    this.#metadataName[Symbol.dispose]();
    await this.#applying;
    this.#network[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #apply(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) throw new OperationError("DATAPLANE_CLOSED", "the data plane was closed");
    const { clock } = this.#options;
    const pass = new PassSteps(clock);
    this.counters.applies++;
    await pass.run("read", () => this.#read());
    await pass.run("filter", () => this.#applyFilter());
    await pass.run("interfaces", () => this.#interfaces.configure());
    await pass.run("bandwidth", () => this.#bandwidth.apply(this.#inSync));
    this.#planRemoteRoutes();
    await pass.run("flows", () => this.#routes.removeLocal(this.#inSync));
    await pass.run("routes", () => this.#routes.apply(this.#inSync));
    await pass.run("forward", () => this.#applyForwardAccept());
    this.lastApplyTimings = pass.timings();
    if (pass.failures.length === 0) return;
    this.counters.failures++;
    // After a failure nothing is believed.
    this.#stale.links = this.#stale.table = this.#stale.routes = true;
    this.#pokeNotBeforeMs = clock.monotonicMs() + pokeAfterFailureMs;
    throw new OperationError("DATAPLANE_INCOMPLETE", pass.failures.slice(0, 5).map(describeError).join("; "), {
      retry: "backoff",
      cause: pass.failures[0],
    });
  }

  #read(): readonly unknown[] {
    if (this.#resyncIsDue()) {
      this.#stale.links = this.#stale.routes = this.#stale.forward = true;
      // It takes longest to read, and the kernel counts its changes.
      this.#stale.table ||= this.#network.tableMayHaveChanged();
      this.#lastResyncMs = this.#options.clock.monotonicMs();
      this.counters.driftFound += this.#interfaces.checkSettings();
    }
    this.#digest();
    if (this.#stale.links || this.#stale.table || this.#stale.routes) {
      this.counters.driftFound += this.#readBack();
      this.counters.resyncs++;
    }
    return [];
  }

  #resyncIsDue(): boolean {
    const { clock, resyncEveryMs = resyncEveryDefaultMs } = this.#options;
    return clock.monotonicMs() - this.#lastResyncMs >= resyncEveryMs;
  }

  /** Reads what is marked stale. @returns how many beliefs were wrong. */
  #readBack(): number {
    let wrong = 0;
    if (this.#stale.links) {
      this.#interfaces.readBack();
      this.#bandwidth.readBack();
      this.#stale.links = false;
    }
    if (this.#stale.table) {
      wrong += this.#filter.readBack();
      this.#stale.table = false;
    }
    if (this.#stale.routes) {
      wrong += this.#routes.readBack();
      this.#stale.routes = false;
    }
    return wrong;
  }

  /** Takes in what the kernel reported since the last look. */
  #digest(): void {
    const changes = this.#network.changes();
    for (const change of changes) digest(change, this.#parts, this.#stale);
    measureChanges(changes, this.#onMeasured);
  }

  /** Who is enforced on the interface may have changed. */
  #enforce(name: InterfaceName): void {
    const after = this.#interfaces.endpoints.winner(name);
    this.#filter.ruleset.endpoint(name, after);
    this.#bandwidth.want(name, after?.limits);
    const before = this.#interfaces.enforce(name, after);
    const kept = new Set(after?.addresses ?? []);
    for (const address of before?.addresses ?? []) if (!kept.has(address)) this.#routes.freed(address, name);
    for (const address of kept) this.#routes.kept(address, name);
  }

  #applyFilter(): readonly unknown[] {
    const hosts = this.#hostInterfaces.resolve();
    if (hosts !== undefined) this.#filter.ruleset.hostEndpoints(hosts);
    const toLoopback = leadsToLoopback(this.#settings);
    const failures = toLoopback ? [] : [...this.#interfaces.leadToLoopback(false)];
    if (failures.length > 0) return failures;
    this.#filter.apply(this.#inSync);
    failures.push(...this.#interfaces.leadToLoopback(toLoopback));
    // Not before unknown interfaces are closed.
    enableForwarding(this.#network, 4);
    if (this.#usesIpv6) enableForwarding(this.#network, 6);
    return failures;
  }

  async #applyForwardAccept(): Promise<readonly unknown[]> {
    if (!this.#stale.forward) return [];
    this.#stale.forward = false;
    try {
      const iptables = timedIptables(this.#network, this.#options.clock, this.#onMeasured);
      const repaired = await ensureFilterAccept(iptables, this.#settings);
      if (repaired > 0) this.#options.log.info({ event: "iptables_accept_changed", rules: repaired });
      return [];
    } catch (error) {
      this.#stale.forward = true;
      throw error;
    }
  }

  /** What leads to an address of this host itself is none of another host. */
  #planRemoteRoutes(): void {
    const { address } = this.#options.host;
    if (address === this.#routedFrom) return;
    this.#routes.plan.remote(new Map([...this.#remoteRoutes].filter(([, gateway]) => gateway !== address)));
    this.#routedFrom = address;
  }

  #watch(): void {
    if (this.#closed) return;
    const { clock, log, onNeedsApply, watchEveryMs = watchEveryDefaultMs } = this.#options;
    this.#watchTimer = clock.timer(watchEveryMs, () => {
      try {
        this.#digest();
        if (clock.monotonicMs() >= this.#pokeNotBeforeMs && this.#needsApply()) onNeedsApply?.();
      } catch (error) {
        log.warn({ event: "dataplane_watch_failed", error: describeError(error) });
      }
      this.#watch();
    });
  }

  #needsApply(): boolean {
    const { links, table, routes, forward } = this.#stale;
    const read = links || table || routes || forward || this.#resyncIsDue();
    if (read || this.#interfaces.needsApply || this.#routes.needsApply) return true;
    if (this.#routedFrom !== undefined && this.#routedFrom !== this.#options.host.address) return true;
    return this.#hostInterfaces.needsApply || this.#bandwidth.needsApply;
  }
}
