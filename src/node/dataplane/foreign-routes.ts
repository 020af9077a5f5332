/**
 * Routes of others that lead to endpoints' interfaces: one of them could turn an address' traffic to another container.
 * They are removed (felix-dataplane.md 2.2), at once where an endpoint is known on the interface; else after a grace,
 * because plug-ins of other makes set their route before the endpoint is told of. Nothing before the store is in sync.
 */
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { ForeignRoute } from "../../kernel/foreign-routes.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { EndpointInterfaces } from "./endpoint-interfaces.ts";

const graceMs = 10_000;
/** What Calico's own plug-ins and agent write: removed also where foreign routes are permitted. */
const ofCalico: ReadonlySet<number> = new Set([3, 80]);

interface Found {
  readonly route: ForeignRoute;
  readonly sinceMs: number;
}

export class ForeignRoutes {
  readonly #network: HostNetwork;
  readonly #interfaceAt: EndpointInterfaces["endpointInterface"];
  readonly #clock: Clock;
  readonly #log: Log;
  #found: readonly Found[] = [];
  /** removeExternalRoutes of FelixConfiguration. */
  removesAll: boolean;

  constructor(options: {
    network: HostNetwork;
    endpointInterface: EndpointInterfaces["endpointInterface"];
    clock: Clock;
    log: Log;
    removesAll: boolean;
  }) {
    this.#network = options.network;
    this.#interfaceAt = options.endpointInterface;
    this.removesAll = options.removesAll;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get needsApply(): boolean {
    return this.#found.some((found) => this.#isDue(found));
  }

  /** The kernel has told of a new one. */
  seen(route: ForeignRoute): void {
    if (this.#interfaceAt(route.interfaceIndex) === undefined) return;
    this.#found = [...this.#found, { route, sinceMs: this.#clock.monotonicMs() }];
  }

  /** A complete list replaces every belief; one that was there before keeps its time. */
  readBack(): void {
    const known = new Map(this.#found.map((found) => [routeText(found.route), found.sinceMs]));
    const nowMs = this.#clock.monotonicMs();
    this.#found = this.#network
      .foreignRoutes()
      .filter(({ interfaceIndex }) => this.#interfaceAt(interfaceIndex) !== undefined)
      .map((route) => ({ route, sinceMs: known.get(routeText(route)) ?? nowMs }));
  }

  remove(inSync: boolean): readonly unknown[] {
    const failures: unknown[] = [];
    const due = inSync ? this.#found.filter((found) => this.#isDue(found)) : [];
    if (due.length === 0) return failures;
    const done = new Set<Found>();
    for (const found of due) {
      try {
        if (this.#network.removeForeignRoute(found.route))
          this.#log.info({ event: "foreign_route_removed", route: routeText(found.route) });
        done.add(found);
      } catch (error) {
        failures.push(error);
      }
    }
    this.#found = this.#found.filter((found) => !done.has(found));
    return failures;
  }

  #isDue({ route, sinceMs }: Found): boolean {
    if (!this.removesAll && !ofCalico.has(route.protocol)) return false;
    const place = this.#interfaceAt(route.interfaceIndex);
    if (place === undefined) return false; // it has gone, and its routes with it
    return place.known || this.#clock.monotonicMs() - sinceMs >= graceMs;
  }
}

function routeText({ destination, interfaceIndex, metric, protocol }: ForeignRoute): string {
  return `${destination} over interface ${interfaceIndex}, metric ${metric}, protocol ${protocol}`;
}
