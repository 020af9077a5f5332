/**
 * Which address routes to endpoints name as their source (deviceRouteSourceAddress of FelixConfiguration). The kernel
 * refuses a route whose source is no address of the host, and drops it with the address: so an address that is not there
 * counts as not set, and is tried again when addresses change.
 */
import type { IpAddress } from "../../base/addresses.ts";
import type { Log } from "../../base/log.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import type { RoutePlan } from "./route-plan.ts";

export class RouteSource {
  readonly #network: Pick<HostNetwork, "linkWithAddress">;
  readonly #plan: RoutePlan;
  readonly #log: Log;
  #wanted: HostSettings["routeSource"];
  #stale = true;

  constructor(options: { network: HostNetwork; plan: RoutePlan; log: Log; wanted: HostSettings["routeSource"] }) {
    this.#network = options.network;
    this.#plan = options.plan;
    this.#log = options.log;
    this.#wanted = options.wanted;
  }

  get needsApply(): boolean {
    return this.#stale;
  }

  want(wanted: HostSettings["routeSource"]): void {
    this.#wanted = wanted;
    this.#stale = true;
  }

  /** It came or went. */
  addressChanged(address: IpAddress): void {
    const { ipv4, ipv6 } = this.#wanted;
    this.#stale ||= address === ipv4 || address === ipv6;
  }

  /** Before routes are written. */
  decide(): void {
    if (!this.#stale) return;
    this.#plan.setSources({ 4: this.#present(this.#wanted.ipv4), 6: this.#present(this.#wanted.ipv6) });
    this.#stale = false;
  }

  #present(address: IpAddress | undefined): IpAddress | undefined {
    if (address === undefined || this.#network.linkWithAddress(address) !== undefined) return address;
    this.#log.warn({ event: "route_source_not_here", address });
    return undefined;
  }
}
