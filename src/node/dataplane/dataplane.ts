/**
 * dataplane/ makes the kernel of one host enforce what policy/ decided: packet filter, routes, interface settings.
 * - Calls of EnforcementSink only note. apply() does the work, all of it: when it resolves, what was noted before it
 *   began is in force. It may be repeated at any time, and costs what changed.
 * - The packet filter changes in one transaction: at no instant is a part of it missing. Unknown interfaces are closed.
 * - Everything made here carries a mark (table name, route protocol, link alias, rule comment): a restarted process
 *   reads it back and goes on, and nothing else is ever touched. Nothing is removed before setInSync().
 * - What is believed about the kernel is what it confirmed or reported, never what was sent.
 * Absent on purpose: policy decisions, the store, removal on shutdown (the kernel goes on enforcing without us).
 */
import type { Cidr, IpAddress } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type InterfaceName, parseInterfaceName } from "../../base/names.ts";
import { type HostNetwork, LinuxHostNetwork } from "../../kernel/host-network.ts";
import { isKernelError } from "../../kernel/libc.ts";
import type { EndpointEnforcement, EnforcementSink, RuleList, RuleListId, SetId } from "../../policy/enforcement.ts";
import { linkAlias, routeProtocol, tableName } from "./chain-names.ts";
import { EndpointInterfaces } from "./endpoint-interfaces.ts";
import { ensureForwardAccept } from "./forward-accept.ts";
import { configureInterface, enableForwarding, isConfigured } from "./interface-settings.ts";
import { removeEverything } from "./remove-everything.ts";
import { localAddressOf, RoutePlan } from "./route-plan.ts";
import { Ruleset } from "./ruleset.ts";

export interface DataplaneOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly host: { readonly name: string; readonly address: IpAddress };
  /** Default: the network namespace of the calling thread. */
  readonly network?: HostNetwork;
  readonly interfacePrefixes?: readonly string[];
  /** Packets to the host that outbound policy accepts. "return" (default, Calico's on etcd): the host's own rules decide. */
  readonly endpointToHost?: "return" | "drop";
  /** Everything is read back so often, whatever was reported. */
  readonly resyncEveryMs?: number;
  /** So often it is looked whether somebody changed something; a few receives that do not block. */
  readonly watchEveryMs?: number;
  /** Called when apply() has something to do that nobody asked for: drift, an interface that came up. */
  readonly onNeedsApply?: () => void;
}

export interface VethRequest {
  readonly hostName: string;
  readonly containerName: string;
  /** Default: that of the interface with the host's address. */
  readonly mtu?: number;
  /** Of the container's end. */
  readonly mac?: string;
}

/** Numbers that only grow, for metrics. */
export interface DataplaneCounters {
  applies: number;
  failures: number;
  resyncs: number;
  filterTransactions: number;
  filterOperations: number;
  routeWrites: number;
  flowsForgotten: number;
  /** What read-backs found different from what had been confirmed: each one is somebody's interference, or our bug. */
  driftFound: number;
}

export type ApplyStep = "read" | "filter" | "interfaces" | "flows" | "routes" | "forward";
export type ApplyTimings = Readonly<Record<ApplyStep | "total", number>>;

const noTimings: ApplyTimings = { read: 0, filter: 0, interfaces: 0, flows: 0, routes: 0, forward: 0, total: 0 };
const familyIp4 = 2;
const flowsCollectedMs = 1_000;
/** Not an interface's name: stands for one that is not known any more. */
const noInterface = "" as InterfaceName;
/** Whoever called the failed pass tries again with its own back-off; the watch keeps out of it. */
const pokeAfterFailureMs = 1_000;

interface Staleness {
  links: boolean;
  table: boolean;
  routes: boolean;
  forward: boolean;
}

export class Dataplane implements EnforcementSink, AsyncDisposable {
  readonly #options: DataplaneOptions;
  readonly #network: HostNetwork;
  readonly #prefixes: readonly string[];
  readonly #ruleset: Ruleset;
  readonly #routes = new RoutePlan();
  readonly #interfaces: EndpointInterfaces;
  /** What each interface enforces, as told to the ruleset. */
  readonly #enforced = new Map<InterfaceName, EndpointEnforcement>();
  readonly #configured = new Map<string, number>();
  readonly #toConfigure = new Set<InterfaceName>();
  /** Addresses given back whose connections are not forgotten yet: the interface they were on, and since when. */
  readonly #freed = new Map<IpAddress, { readonly name: InterfaceName; readonly sinceMs: number }>();
  readonly #stale: Staleness = { links: true, table: true, routes: true, forward: true };
  #unreachable: ReadonlyMap<Cidr, string> = new Map();
  #usesIpv6 = false;
  #inSync = false;
  #lastResyncMs: number;
  #uplinkName: string | undefined;
  #filterFailures = 0;
  #pokeNotBeforeMs = 0;
  #applying: Promise<void> = Promise.resolve();
  #watchTimer: Disposable | undefined;
  #closed = false;
  readonly counters: DataplaneCounters = {
    applies: 0,
    failures: 0,
    resyncs: 0,
    filterTransactions: 0,
    filterOperations: 0,
    routeWrites: 0,
    flowsForgotten: 0,
    driftFound: 0,
  };
  /** Milliseconds of the last apply() by step. */
  lastApplyTimings: ApplyTimings = noTimings;

  private constructor(options: DataplaneOptions, network: HostNetwork) {
    this.#options = options;
    this.#network = network;
    this.#prefixes = options.interfacePrefixes ?? ["cali"];
    this.#interfaces = new EndpointInterfaces(this.#prefixes);
    this.#ruleset = new Ruleset({
      interfacePrefixes: this.#prefixes,
      endpointToHost: options.endpointToHost ?? "return",
    });
    this.#lastResyncMs = options.clock.monotonicMs();
  }

  /** Reads what the process before has left; changes nothing yet. */
  static async open(options: DataplaneOptions): Promise<Dataplane> {
    const network = options.network ?? LinuxHostNetwork.open({ routeProtocol, table: tableName });
    const dataplane = new Dataplane(options, network);
    try {
      dataplane.#readBack();
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
    dataplane.#watch();
    return dataplane;
  }

  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    this.#ruleset.addressSet(id, members);
  }

  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    this.#ruleset.addressSetDelta(id, added, removed);
  }

  ruleList(id: RuleListId, list: RuleList | undefined): void {
    this.#ruleset.ruleList(id, list);
  }

  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void {
    this.#usesIpv6 ||= endpoint?.addresses.some((address) => address.includes(":")) ?? false;
    for (const name of this.#interfaces.setEndpoint(key, endpoint)) this.#enforce(name);
  }

  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void {
    this.#ruleset.natPools(pools);
  }

  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void {
    const others = [...routes].filter(([, gateway]) => gateway !== this.#options.host.address);
    this.#routes.remote(new Map(others));
  }

  localBlocks(blocks: readonly Cidr[]): void {
    this.#routes.blackholes(blocks);
  }

  /** Everything the store holds was told: what is ours in the kernel and was not named is left over from before. */
  setInSync(): void {
    this.#inSync = true;
  }

  /** Why an endpoint is not (fully) in force although apply() succeeded; undefined: it is. */
  problemOf(key: string): string | undefined {
    return this.#interfaces.problemOf(key);
  }

  /** Blocks of other hosts that have no route, with the kernel's reason; tried again with every pass. */
  get unreachableBlocks(): ReadonlyMap<Cidr, string> {
    return this.#unreachable;
  }

  /** One pass; passes asked for at the same time follow each other. @throws OperationError; repeat to go on. */
  apply(signal?: AbortSignal): Promise<void> {
    const pass = this.#applying.then(() => this.#apply(signal));
    this.#applying = pass.catch(() => {}); // the caller gets the error; the next pass only waits
    return pass;
  }

  /** The host's end is up when this resolves and, if its endpoint is known, has its settings and routes. */
  async createVeth(request: VethRequest): Promise<void> {
    const name = parseInterfaceName(request.hostName, "hostName");
    const peerName = parseInterfaceName(request.containerName, "containerName");
    // A leftover of a crashed attempt; never an interface of another kind.
    this.#digest();
    for (const end of [name, peerName]) if (this.#interfaces.link(end)?.kind === "veth") this.#network.deleteLink(end);
    const mtu = request.mtu ?? this.#uplinkMtu();
    this.#network.createVeth({
      name,
      peerName,
      alias: linkAlias,
      ...(mtu === undefined ? {} : { mtu }),
      ...(request.mac === undefined ? {} : { peerMac: request.mac }),
    });
    try {
      // Without this an IPv6 address of the interface could not be used for a second after it came up.
      if (this.#network.readSetting(["ipv6", "conf", name, "accept_dad"]) !== undefined)
        this.#network.writeSetting(["ipv6", "conf", name, "accept_dad"], "0");
      this.#network.setLink(name, { up: true });
      this.#digest();
      if (this.#toConfigure.has(name)) {
        const failures = [...this.#configureInterfaces(), ...this.#removeLocalRoutesAndFlows(), ...this.#putRoutes()];
        if (failures.length > 0) throw failures[0];
      }
    } catch (error) {
      this.#network.deleteLink(name);
      throw error;
    }
  }

  /** The container's packets leave the host as they are, so its interface has what the uplink has. */
  #uplinkMtu(): number | undefined {
    this.#uplinkName ??= this.#network.linkWithAddress(this.#options.host.address)?.name;
    return this.#uplinkName === undefined ? undefined : this.#interfaces.link(this.#uplinkName)?.mtu;
  }

  /** No complaint when there is none. */
  async removeVeth(hostName: string): Promise<void> {
    const name = parseInterfaceName(hostName, "hostName");
    if (!this.#interfaces.isEndpointName(name))
      throw new OperationError("NOT_AN_ENDPOINT", `interface ${name} is none of an endpoint`);
    this.#network.deleteLink(name);
  }

  async linkExists(name: string): Promise<boolean> {
    this.#digest();
    return this.#interfaces.link(name) !== undefined;
  }

  /** Takes everything of ours out of the kernel, for `margay reset`. */
  async removeEverything(): Promise<void> {
    await this.#applying;
    await removeEverything(this.#network, this.#prefixes);
    this.#stale.links = this.#stale.table = this.#stale.routes = this.#stale.forward = true;
  }

  /** The kernel goes on enforcing what it has. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watchTimer?.[Symbol.dispose]();
    await this.#applying;
    this.#network[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #apply(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const { clock } = this.#options;
    const timings: Record<ApplyStep | "total", number> = { ...noTimings };
    const startMs = clock.monotonicMs();
    let stepMs = startMs;
    const failures: unknown[] = [];
    const step = async (name: ApplyStep, work: () => readonly unknown[] | Promise<readonly unknown[]>) => {
      try {
        failures.push(...(await work()));
      } catch (error) {
        failures.push(error);
      }
      const nowMs = clock.monotonicMs();
      timings[name] = nowMs - stepMs;
      stepMs = nowMs;
    };
    this.counters.applies++;
    // One failed step does not stop the others: an endpoint whose route waits is filtered all the same.
    await step("read", () => this.#read());
    await step("filter", () => this.#applyFilter());
    await step("interfaces", () => this.#configureInterfaces());
    await step("flows", () => this.#removeLocalRoutesAndFlows());
    await step("routes", () => [...this.#putRoutes(), ...this.#removeRoutes()]);
    await step("forward", () => this.#applyForwardAccept());
    timings.total = clock.monotonicMs() - startMs;
    this.lastApplyTimings = timings;
    if (failures.length === 0) return;
    this.counters.failures++;
    // After a failure nothing is believed.
    this.#stale.links = this.#stale.table = this.#stale.routes = true;
    this.#pokeNotBeforeMs = clock.monotonicMs() + pokeAfterFailureMs;
    throw new OperationError("DATAPLANE_INCOMPLETE", failures.slice(0, 5).map(describeError).join("; "), {
      retry: "backoff",
      cause: failures[0],
    });
  }

  #read(): readonly unknown[] {
    const { clock, resyncEveryMs = 90_000 } = this.#options;
    if (clock.monotonicMs() - this.#lastResyncMs >= resyncEveryMs) {
      this.#stale.links = this.#stale.table = this.#stale.routes = this.#stale.forward = true;
      for (const [name] of this.#enforced)
        if (this.#configured.has(name) && !isConfigured(this.#network, name)) {
          this.#configured.delete(name);
          this.#refreshInterface(name);
          this.counters.driftFound++;
        }
    }
    this.#digest();
    if (this.#stale.links || this.#stale.table || this.#stale.routes) {
      this.counters.driftFound += this.#readBack();
      this.counters.resyncs++;
    }
    return [];
  }

  /** Reads what is marked stale. @returns how many beliefs were wrong. */
  #readBack(): number {
    let wrong = 0;
    if (this.#stale.links) {
      for (const name of this.#interfaces.linksObserved(this.#network.links())) this.#linkChanged(name);
      const loopback = this.#interfaces.link("lo");
      if (loopback !== undefined) this.#routes.wantGateway(loopback.index);
      this.#uplinkName = undefined;
      this.#stale.links = false;
    }
    if (this.#stale.table) {
      const before = this.#ruleset.pendingCount;
      wrong += Math.max(0, this.#ruleset.observed(this.#network.readTable()) - before);
      this.#stale.table = false;
    }
    if (this.#stale.routes) {
      const { tracker } = this.#routes;
      const before = tracker.pendingPuts.size + tracker.pendingRemovals.size;
      this.#routes.observed(this.#network.routes());
      wrong += Math.max(0, tracker.pendingPuts.size + tracker.pendingRemovals.size - before);
      this.#stale.routes = false;
    }
    this.#lastResyncMs = this.#options.clock.monotonicMs();
    return wrong;
  }

  /** Takes in what the kernel reported since the last look. */
  #digest(): void {
    for (const change of this.#network.changes()) {
      switch (change.kind) {
        case "link":
          if (!change.link.up) this.#linkDown(change.link.name, change.link.index);
          for (const name of this.#interfaces.linkSeen(change.link)) this.#linkChanged(name);
          break;
        case "link-gone":
          this.#linkDown(change.name, change.index);
          for (const name of this.#interfaces.linkGone(change.index)) this.#linkChanged(name);
          break;
        case "route":
          this.#routes.seen(change.route);
          break;
        case "route-gone":
          this.#routes.gone(change.route);
          break;
        case "address-gone":
          this.#uplinkName = undefined;
          this.#stale.routes = true;
          break;
        case "table":
          if (change.table === tableName) this.#stale.table = true;
          if (change.family === familyIp4 && change.table === "filter") this.#stale.forward = true;
          break;
        case "lost":
          if (change.source === "nftables") this.#stale.table = this.#stale.forward = true;
          else this.#stale.links = this.#stale.routes = true;
          break;
      }
    }
  }

  /** The kernel takes routes away with a link; which ones went over another host's gateway only a read-back can tell. */
  #linkDown(name: string, index: number): void {
    this.#routes.linkGone(index);
    const wasUp = this.#interfaces.link(name)?.up === true;
    if (wasUp && !this.#interfaces.isEndpointName(name)) this.#stale.routes = true;
  }

  #linkChanged(name: string): void {
    if (!this.#interfaces.isEndpointName(name)) return;
    const interfaceName = name as InterfaceName; // a name the kernel gave, and spelt as the filter can
    if (this.#configured.get(name) !== this.#interfaces.link(name)?.index) this.#configured.delete(name);
    this.#refreshInterface(interfaceName);
  }

  /** Who is enforced on the interface may have changed. */
  #enforce(name: InterfaceName): void {
    const before = this.#enforced.get(name);
    const after = this.#interfaces.winner(name);
    if (after === undefined) this.#enforced.delete(name);
    else this.#enforced.set(name, after);
    this.#ruleset.endpoint(name, after);
    const kept = new Set(after?.addresses ?? []);
    for (const address of before?.addresses ?? []) {
      if (kept.has(address)) continue;
      this.#freed.set(address, { name, sinceMs: this.#options.clock.monotonicMs() });
      this.#routes.local(address, name, undefined);
    }
    for (const address of kept) if (this.#freed.get(address)?.name === name) this.#freed.delete(address);
    this.#refreshInterface(name);
  }

  #refreshInterface(name: InterfaceName): void {
    const endpoint = this.#enforced.get(name);
    const link = this.#interfaces.link(name);
    const index = link?.up === true ? link.index : undefined;
    for (const address of endpoint?.addresses ?? []) this.#routes.local(address, name, index);
    if (endpoint !== undefined && index !== undefined && this.#configured.get(name) !== index)
      this.#toConfigure.add(name);
    else this.#toConfigure.delete(name);
  }

  #applyFilter(): readonly unknown[] {
    const replace = this.#ruleset.needsReplacement || (this.#filterFailures >= 2 && this.#inSync);
    if (replace && !this.#inSync && this.#ruleset.tableExists)
      throw new OperationError(
        "DATAPLANE_WAITS_FOR_SYNC",
        "the packet filter of an earlier version is replaced as a whole, once the store has told everything",
        { retry: "backoff" },
      );
    const options = { sweep: this.#inSync, replace };
    const operations = this.#ruleset.transaction(options);
    if (operations.length > 0) {
      try {
        this.#network.commit(operations);
      } catch (error) {
        this.#filterFailures++;
        throw error;
      }
      this.counters.filterTransactions++;
      this.counters.filterOperations += operations.length;
    }
    this.#ruleset.applied(options);
    this.#filterFailures = 0;
    // Not before unknown interfaces are closed.
    enableForwarding(this.#network, 4);
    if (this.#usesIpv6) enableForwarding(this.#network, 6);
    return [];
  }

  #configureInterfaces(): readonly unknown[] {
    const failures: unknown[] = [];
    for (const name of [...this.#toConfigure]) {
      const endpoint = this.#enforced.get(name);
      const index = this.#interfaces.link(name)?.index;
      if (endpoint === undefined || index === undefined) continue;
      try {
        const hasIpv6 = endpoint.addresses.some((address) => address.includes(":"));
        configureInterface(this.#network, name, hasIpv6);
        this.#configured.set(name, index);
        this.#toConfigure.delete(name);
      } catch (error) {
        // Gone meanwhile: its event comes, and with the interface everything else.
        if (!isKernelError(error, "ENOENT")) failures.push(error);
      }
    }
    return failures;
  }

  /** A given-back address: route first, then its connections, so that the next owner inherits neither. */
  #removeLocalRoutesAndFlows(): readonly unknown[] {
    const { tracker } = this.#routes;
    const failures: unknown[] = [];
    const leaving = this.#inSync ? [...tracker.pendingRemovals] : [];
    for (const key of [...leaving, ...tracker.pendingPuts.keys()]) {
      const route = tracker.actual(key);
      const address = route && localAddressOf(route);
      if (route === undefined || address === undefined) continue;
      // Left over from before, or turning to another interface: whoever has it next must not inherit.
      if (!this.#freed.has(address)) this.#freed.set(address, { name: noInterface, sinceMs: Number.NEGATIVE_INFINITY });
      if (!tracker.pendingRemovals.has(key)) continue;
      failures.push(
        ...this.#attemptRoute(
          () => this.#network.removeRoute(route),
          () => this.#routes.gone(route),
        ),
      );
    }
    if (!this.#flowsAreDue()) return failures;
    this.counters.flowsForgotten += this.#network.forgetFlows([...this.#freed.keys()]);
    this.#freed.clear();
    return failures;
  }

  /**
   * Walking the connection table is the dearest step of all, so given-back addresses are collected for a moment; unless
   * one of them is about to be used again. Until then their connections lead to an unknown interface, and are dropped.
   */
  #flowsAreDue(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [address, { sinceMs }] of this.#freed)
      if (nowMs - sinceMs >= flowsCollectedMs || this.#routes.wantsLocal(address)) return true;
    return false;
  }

  /** A host we cannot route to is that host's trouble: it is reported, and no endpoint here waits for it. */
  #putRoutes(): readonly unknown[] {
    const failures: unknown[] = [];
    const unreachable = new Map<Cidr, string>();
    for (const route of [...this.#routes.tracker.pendingPuts.values()]) {
      const failed = this.#attemptRoute(
        () => this.#network.putRoute(route),
        () => this.#routes.seen(route),
      );
      if (failed.length === 0) continue;
      if (route.target.kind !== "gateway") failures.push(...failed);
      else unreachable.set(route.destination, describeError(failed[0]));
    }
    for (const [cidr, error] of unreachable)
      if (!this.#unreachable.has(cidr)) this.#options.log.warn({ event: "route_refused", cidr, error });
    this.#unreachable = unreachable;
    return failures;
  }

  #removeRoutes(): readonly unknown[] {
    if (!this.#inSync) return [];
    const { tracker } = this.#routes;
    return [...tracker.pendingRemovals].flatMap((key) => {
      const route = tracker.actual(key);
      if (route === undefined) return [];
      return this.#attemptRoute(
        () => this.#network.removeRoute(route),
        () => this.#routes.gone(route),
      );
    });
  }

  /** One bad route does not stop the rest. */
  #attemptRoute(write: () => unknown, confirmed: () => void): readonly unknown[] {
    try {
      write();
      confirmed();
      this.counters.routeWrites++;
      return [];
    } catch (error) {
      return [error];
    }
  }

  async #applyForwardAccept(): Promise<readonly unknown[]> {
    if (!this.#stale.forward) return [];
    this.#stale.forward = false;
    try {
      const repaired = await ensureForwardAccept(this.#network, this.#prefixes);
      if (repaired > 0) this.#options.log.info({ event: "forward_accept_added", rules: repaired });
      return [];
    } catch (error) {
      this.#stale.forward = true;
      return [error];
    }
  }

  #watch(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#watchTimer = clock.timer(this.#options.watchEveryMs ?? 100, () => {
      try {
        this.#digest();
        if (clock.monotonicMs() >= this.#pokeNotBeforeMs && this.#needsApply()) this.#options.onNeedsApply?.();
      } catch (error) {
        this.#options.log.warn({ event: "dataplane_watch_failed", error: describeError(error) });
      }
      this.#watch();
    });
  }

  #needsApply(): boolean {
    const { tracker } = this.#routes;
    const { resyncEveryMs = 90_000, clock } = this.#options;
    return (
      Object.values(this.#stale).some(Boolean) ||
      this.#toConfigure.size > 0 ||
      this.#flowsAreDue() ||
      tracker.pendingPuts.size > this.#unreachable.size ||
      clock.monotonicMs() - this.#lastResyncMs >= resyncEveryMs
    );
  }
}
