/** What a change that the kernel reported means: the parts take it in, or something has to be read back. */
import { cidrContains, parseCidr } from "../../base/addresses.ts";
import { unreachable } from "../../base/errors.ts";
import type { Change } from "../../kernel/changes.ts";
import type { OnMeasured } from "./apply-measures.ts";
import type { BandwidthSync } from "./bandwidth-sync.ts";
import { tableName } from "./chain-names.ts";
import type { HostInterfaces } from "./host-interfaces.ts";
import type { InterfaceSync } from "./interface-sync.ts";
import type { RouteSync } from "./route-sync.ts";

/** What must be read back before anything is believed about it. */
export interface Stale {
  links: boolean;
  table: boolean;
  routes: boolean;
  /** The rules in iptables' chains. */
  forward: boolean;
}

export interface Parts {
  readonly interfaces: InterfaceSync;
  readonly routes: RouteSync;
  readonly hostInterfaces: HostInterfaces;
  readonly bandwidth: BandwidthSync;
}

const familyInet = 1;
const linkLocal6 = parseCidr("fe80::/10");

export function digest(change: Change, { interfaces, routes, hostInterfaces, bandwidth }: Parts, stale: Stale): void {
  switch (change.kind) {
    case "link":
      stale.routes = interfaces.linkSeen(change.link) || stale.routes;
      bandwidth.linkChanged(change.link.name);
      break;
    case "link-gone":
      stale.routes = interfaces.linkGone(change.name, change.index) || stale.routes;
      bandwidth.linkChanged(change.name);
      break;
    case "route":
      routes.plan.seen(change.route);
      break;
    case "route-gone":
      routes.plan.gone(change.route);
      break;
    case "foreign-route":
      routes.foreignSeen(change.route);
      break;
    case "address":
    case "address-gone":
      interfaces.addressChanged(change.address);
      hostInterfaces.addressChanged(change.address);
      routes.addressChanged(change.address);
      // No gateway of ours is reached by a link-local address, and every container's veth has one.
      if (change.kind === "address-gone" && !cidrContains(linkLocal6, change.address)) stale.routes = true;
      break;
    case "table":
      if (change.table === tableName) stale.table = true;
      if (change.family !== familyInet && change.table === "filter") stale.forward = true;
      break;
    case "lost":
      if (change.source === "nftables") stale.table = stale.forward = true;
      else stale.links = stale.routes = true;
      break;
    default:
      unreachable(change);
  }
}

/** How many changes of a kind had come together when somebody looked. */
export function measureChanges(changes: readonly Change[], onMeasured: OnMeasured): void {
  let [links, addresses] = [0, 0];
  for (const { kind } of changes) {
    if (kind === "link" || kind === "link-gone") links++;
    else if (kind === "address" || kind === "address-gone") addresses++;
  }
  if (links > 0) onMeasured("interface-changes", links);
  if (addresses > 0) onMeasured("address-changes", addresses);
}
