/**
 * Brings the routes to what the plan wants, takes away those of others that lead to endpoints, and forgets the connections of
 * addresses that were given back.
 */
import type { Cidr, IpAddress } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { ForeignRoute } from "../../kernel/foreign-routes.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { Route } from "../../kernel/routes.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import type { DataplaneCounters, MeasureName, OnMeasured } from "./apply-measures.ts";
import type { EndpointInterfaces } from "./endpoint-interfaces.ts";
import { ForeignRoutes } from "./foreign-routes.ts";
import { localAddressOf, RoutePlan } from "./route-plan.ts";
import { RouteSource } from "./route-source.ts";

const flowsCollectedMs = 1_000;

export type RouteSettings = Pick<HostSettings, "routeSource" | "removeExternalRoutes">;

export interface RouteSyncOptions {
  readonly network: HostNetwork;
  readonly counters: DataplaneCounters;
  readonly onMeasured: OnMeasured;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: RouteSettings;
  readonly endpointInterface: EndpointInterfaces["endpointInterface"];
}

interface Freed {
  /** Undefined: found in the kernel, from before. */
  readonly interfaceName: string | undefined;
  readonly sinceMs: number;
}

export class RouteSync {
  readonly plan = new RoutePlan();
  readonly #network: HostNetwork;
  readonly #counters: DataplaneCounters;
  readonly #onMeasured: OnMeasured;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Addresses given back whose connections are not forgotten yet. */
  readonly #freed = new Map<IpAddress, Freed>();
  #unreachable: ReadonlyMap<Cidr, string> = new Map();
  readonly #source: RouteSource;
  readonly #foreign: ForeignRoutes;

  constructor(options: RouteSyncOptions) {
    const { routeSource: wanted } = options.settings;
    this.#source = new RouteSource({ ...options, plan: this.plan, wanted });
    this.#foreign = new ForeignRoutes({ ...options, removesAll: options.settings.removeExternalRoutes });
    this.#network = options.network;
    this.#counters = options.counters;
    this.#onMeasured = options.onMeasured;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Destinations other than endpoints that have no route, with the kernel's reason. */
  get unreachable(): ReadonlyMap<Cidr, string> {
    return this.#unreachable;
  }

  get needsApply(): boolean {
    const { pendingPuts } = this.plan.tracker;
    if (pendingPuts.size > this.#unreachable.size || this.#flowsAreDue()) return true;
    return this.#source.needsApply || this.#foreign.needsApply;
  }

  settings({ routeSource, removeExternalRoutes }: RouteSettings): void {
    this.#source.want(routeSource);
    this.#foreign.removesAll = removeExternalRoutes;
  }

  addressChanged(address: IpAddress): void {
    this.#source.addressChanged(address);
  }

  /** Somebody else made it. */
  foreignSeen(route: ForeignRoute): void {
    this.#foreign.seen(route);
  }

  /** @returns how many beliefs were wrong. */
  readBack(): number {
    const { tracker } = this.plan;
    const before = tracker.pendingPuts.size + tracker.pendingRemovals.size;
    this.#timed("routes-read-seconds", () => {
      this.plan.observed(this.#network.routes());
      this.#foreign.readBack();
    });
    return Math.max(0, tracker.pendingPuts.size + tracker.pendingRemovals.size - before);
  }

  /** The endpoint on the interface has the address no more. */
  freed(address: IpAddress, interfaceName: string): void {
    this.#freed.set(address, { interfaceName, sinceMs: this.#clock.monotonicMs() });
    this.plan.local(address, interfaceName, undefined);
  }

  /** It has it after all: its connections are still its own. */
  kept(address: IpAddress, interfaceName: string): void {
    if (this.#freed.get(address)?.interfaceName === interfaceName) this.#freed.delete(address);
  }

  /** A given-back address: route first, then its connections, so that the next owner inherits neither. */
  removeLocal(inSync: boolean): readonly unknown[] {
    const { tracker } = this.plan;
    const failures: unknown[] = [];
    const leaving = inSync ? [...tracker.pendingRemovals] : [];
    for (const key of [...leaving, ...tracker.pendingPuts.keys()]) {
      const route = tracker.actual(key);
      const address = route && localAddressOf(route);
      if (route === undefined || address === undefined) continue;
      // Left over from before, or turning to another interface: whoever has it next must not inherit.
      if (!this.#freed.has(address))
        this.#freed.set(address, { interfaceName: undefined, sinceMs: Number.NEGATIVE_INFINITY });
      if (tracker.pendingRemovals.has(key)) failures.push(...this.#remove(route));
    }
    if (!this.#flowsAreDue()) return failures;
    this.#counters.flowsForgotten += this.#timed("flows-forgotten-seconds", () =>
      this.#network.forgetFlows([...this.#freed.keys()]),
    );
    this.#freed.clear();
    return failures;
  }

  /** Only an endpoint's own route holds a pass up. A host we cannot route to is reported, and nobody here waits for it. */
  put(): readonly unknown[] {
    const failures: unknown[] = [];
    const unreachable = new Map<Cidr, string>();
    for (const route of [...this.plan.tracker.pendingPuts.values()]) {
      const failed = this.#attempt(
        () => this.#network.putRoute(route),
        () => this.plan.seen(route),
      );
      if (failed.length === 0) continue;
      if (localAddressOf(route) !== undefined) failures.push(...failed);
      else unreachable.set(route.destination, describeError(failed[0]));
    }
    for (const [cidr, error] of unreachable)
      if (!this.#unreachable.has(cidr)) this.#log.warn({ event: "route_refused", cidr, error });
    this.#unreachable = unreachable;
    return failures;
  }

  /** All that is left after removeLocal(). */
  apply(inSync: boolean): readonly unknown[] {
    this.#source.decide();
    const failures = [...this.put()];
    const { tracker } = this.plan;
    if (inSync) failures.push(...[...tracker.pendingRemovals].flatMap((key) => this.#remove(tracker.actual(key))));
    // After our own: at no instant is an address without a route.
    return [...failures, ...this.#foreign.remove(inSync)];
  }

  #timed<Result>(name: MeasureName, work: () => Result): Result {
    const startMs = this.#clock.monotonicMs();
    try {
      return work();
    } finally {
      this.#onMeasured(name, (this.#clock.monotonicMs() - startMs) / 1_000);
    }
  }

  #remove(route: Route | undefined): readonly unknown[] {
    if (route === undefined) return [];
    return this.#attempt(
      () => this.#network.removeRoute(route),
      () => this.plan.gone(route),
    );
  }

  /** One bad route does not stop the rest. */
  #attempt(write: () => unknown, confirmed: () => void): readonly unknown[] {
    try {
      write();
      confirmed();
      this.#counters.routeWrites++;
      return [];
    } catch (error) {
      return [error];
    }
  }

  /**
   * Walking the connection table is the dearest step of all, so given-back addresses are collected for a moment; unless
   * one of them is about to be used again. Until then their connections lead to an unknown interface, and are dropped.
   */
  #flowsAreDue(): boolean {
    const nowMs = this.#clock.monotonicMs();
    for (const [address, { sinceMs }] of this.#freed)
      if (nowMs - sinceMs >= flowsCollectedMs || this.plan.wantsLocal(address)) return true;
    return false;
  }
}
