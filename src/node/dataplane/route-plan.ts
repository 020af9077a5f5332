/**
 * Which routes this host should have: one /32 or /128 per local address, a blackhole per own block (an unused address of
 * it must not loop to the default route), one per block of another host, and the gateway's. Where several want the same
 * destination, the nearest wins; among local interfaces the newest. Pure; reading and writing is dataplane.ts'.
 */
import {
  type Cidr,
  hostCidr,
  type IpAddress,
  ipFamily,
  networkAddress,
  parseCidr,
  prefixLength,
} from "../../base/addresses.ts";
import { Tracker } from "../../base/tracker.ts";
import type { Route, RouteTarget } from "../../kernel/routes.ts";
import { gatewayAddress } from "./base-chains.ts";

/**
 * Calico's value for workload routes since 3.32. Above 0, so that a route somebody sets by hand to the same destination
 * wins; and IPv6 has no 0, so both families read back as written.
 */
export const routeMetric = 1024;

interface Claims {
  local: Map<string, number>;
  remote: IpAddress | undefined;
  blackhole: boolean;
}

export class RoutePlan {
  readonly #tracker = new Tracker<string, Route>(sameRoute);
  readonly #claims = new Map<Cidr, Claims>();
  /** Keys of routes that were seen over an interface, by its index; the tracker knows whether they still are. */
  readonly #seenOver = new Map<number, Set<string>>();
  #remote: ReadonlyMap<Cidr, IpAddress> = new Map();
  #sources: Readonly<Record<4 | 6, IpAddress | undefined>> = { 4: undefined, 6: undefined };
  #blackholes: readonly Cidr[] = [];

  /** What this host's own packets to its endpoints come from; undefined: the kernel chooses. */
  setSources(sources: Readonly<Record<4 | 6, IpAddress | undefined>>): void {
    if (sources[4] === this.#sources[4] && sources[6] === this.#sources[6]) return;
    this.#sources = sources;
    for (const cidr of this.#claims.keys()) this.#claim(cidr, () => {});
  }

  get tracker(): Tracker<string, Route> {
    return this.#tracker;
  }

  /**
   * Proxy ARP answers for 169.254.1.1 only while the host has a route to it that leaves another interface; the default
   * route usually is one, but not every host has a default route. With this one it always works.
   */
  wantGateway(loopbackIndex: number): void {
    const destination = parseCidr(`${gatewayAddress}/32`);
    const target: RouteTarget = { kind: "link", interfaceIndex: loopbackIndex };
    this.#tracker.want(routeKey(destination), { destination, target, metric: routeMetric });
  }

  /** True when a local interface is to be reached under the address. */
  wantsLocal(address: IpAddress): boolean {
    return (this.#claims.get(hostCidr(address))?.local.size ?? 0) > 0;
  }

  /** @param interfaceIndex undefined: the address is not reachable over that interface (any more). */
  local(address: IpAddress, interfaceName: string, interfaceIndex: number | undefined): void {
    this.#claim(hostCidr(address), ({ local }) => {
      if (interfaceIndex === undefined) local.delete(interfaceName);
      else local.set(interfaceName, interfaceIndex);
    });
  }

  remote(routes: ReadonlyMap<Cidr, IpAddress>): void {
    const before = this.#remote;
    this.#remote = new Map(routes);
    for (const cidr of before.keys()) if (!routes.has(cidr)) this.#claim(cidr, (claims) => (claims.remote = undefined));
    for (const [cidr, gateway] of routes)
      if (before.get(cidr) !== gateway) this.#claim(cidr, (claims) => (claims.remote = gateway));
  }

  blackholes(blocks: readonly Cidr[]): void {
    const before = this.#blackholes;
    this.#blackholes = blocks.filter((block) => prefixLength(block) < (ipFamily(block) === 4 ? 32 : 128));
    const kept = new Set(this.#blackholes);
    for (const cidr of before) if (!kept.has(cidr)) this.#claim(cidr, (claims) => (claims.blackhole = false));
    for (const cidr of kept) this.#claim(cidr, (claims) => (claims.blackhole = true));
  }

  observed(routes: readonly Route[]): void {
    this.#tracker.observed(new Map(routes.map((route) => [routeKey(route.destination, route.metric), route])));
    this.#seenOver.clear();
    for (const route of routes) this.#noteInterface(route);
  }

  /** The kernel has this route now. */
  seen(route: Route): void {
    this.#tracker.applied(routeKey(route.destination, route.metric), route);
    this.#noteInterface(route);
  }

  gone(route: Pick<Route, "destination" | "metric">): void {
    this.#tracker.applied(routeKey(route.destination, route.metric), undefined);
  }

  /** The kernel removes the routes over a link that goes down or away, without a word about IPv4. */
  linkGone(interfaceIndex: number): void {
    for (const key of this.#seenOver.get(interfaceIndex) ?? []) {
      const target = this.#tracker.actual(key)?.target;
      if (target?.kind === "link" && target.interfaceIndex === interfaceIndex) this.#tracker.applied(key, undefined);
    }
    this.#seenOver.delete(interfaceIndex);
  }

  #noteInterface({ destination, metric, target }: Route): void {
    if (target.kind !== "link") return;
    const keys = this.#seenOver.get(target.interfaceIndex) ?? new Set();
    this.#seenOver.set(target.interfaceIndex, keys.add(routeKey(destination, metric)));
  }

  #claim(cidr: Cidr, change: (claims: Claims) => void): void {
    const claims = this.#claims.get(cidr) ?? { local: new Map(), remote: undefined, blackhole: false };
    change(claims);
    const target = targetOf(claims);
    if (target === undefined) this.#claims.delete(cidr);
    else this.#claims.set(cidr, claims);
    const source = target?.kind === "link" ? this.#sources[ipFamily(cidr)] : undefined;
    const route = { destination: cidr, metric: routeMetric, ...(source === undefined ? {} : { source }) };
    this.#tracker.want(routeKey(cidr), target && { ...route, target });
  }
}

function targetOf({ local, remote, blackhole }: Claims): RouteTarget | undefined {
  if (local.size > 0) return { kind: "link", interfaceIndex: Math.max(...local.values()) };
  if (blackhole) return { kind: "blackhole" };
  return remote === undefined ? undefined : { kind: "gateway", gateway: remote };
}

/** The address whose connections must be forgotten when this route goes or turns elsewhere. */
export function localAddressOf({ destination, target }: Route): IpAddress | undefined {
  const whole = prefixLength(destination) === (ipFamily(destination) === 4 ? 32 : 128);
  const address = networkAddress(destination);
  return whole && target.kind === "link" && address !== gatewayAddress ? address : undefined;
}

function routeKey(destination: Cidr, metric = routeMetric): string {
  return `${destination} ${metric}`;
}

function sameRoute(a: Route, b: Route): boolean {
  return (
    a.destination === b.destination &&
    a.metric === b.metric &&
    a.source === b.source &&
    targetText(a.target) === targetText(b.target)
  );
}

export function targetText(target: RouteTarget): string {
  if (target.kind === "link") return `link ${target.interfaceIndex}`;
  return target.kind === "gateway" ? `via ${target.gateway}` : target.kind;
}
