/** Kernel settings of an endpoint's interface and of the host (felix-dataplane.md 1.3). */

import type { HostNetwork } from "../../kernel/host-network.ts";
import { isKernelError } from "../../kernel/libc.ts";

/** Containers' packets are forwarded by this host; without it nothing works. */
export function enableForwarding(network: HostNetwork, family: 4 | 6): void {
  const setting = family === 4 ? ["ipv4", "ip_forward"] : ["ipv6", "conf", "all", "forwarding"];
  if (network.readSetting(setting) !== "1") network.writeSetting(setting, "1");
}

/**
 * Felix also sets route_localnet, for Kubernetes' NodePorts on 127.0.0.1. There are none here, and it would let a
 * container reach services that listen on the host's loopback only (CVE-2020-8558): off, unless a metadata service there is
 * for endpoints and the packet filter protects all else (openstack.ts).
 * @throws when a setting that matters cannot be written; ENOENT when the interface has gone.
 */
export function configureInterface(
  network: HostNetwork,
  name: string,
  { hasIpv6, otherSources, toLoopback }: { hasIpv6: boolean; otherSources: boolean; toLoopback: boolean },
): void {
  attempt(network, ["ipv6", "conf", name, "accept_ra"], "0");
  // The kernel waits a random time up to proxy_delay before it answers for the gateway.
  attempt(network, ["ipv4", "neigh", name, "proxy_delay"], "0");
  network.writeSetting(["ipv4", "conf", name, "proxy_arp"], "1");
  network.writeSetting(["ipv4", "conf", name, "forwarding"], "1");
  network.writeSetting(["ipv4", "conf", name, "route_localnet"], toLoopback ? "1" : "0");
  // The real check of source addresses is the packet filter's; this one follows the host's default where it can. "Loose" (2)
  // would not do for other sources: on an interface without an address the kernel then refuses what strict refuses
  // (net/ipv4/fib_frontend.c, __fib_validate_source). The greater of this and conf.all counts.
  const reversePath = otherSources ? "0" : (network.readSetting(["ipv4", "conf", "default", "rp_filter"]) ?? "1");
  network.writeSetting(["ipv4", "conf", name, "rp_filter"], reversePath);
  if (!hasIpv6) return;
  network.writeSetting(["ipv6", "conf", name, "disable_ipv6"], "0");
  network.writeSetting(["ipv6", "conf", name, "proxy_ndp"], "1");
  network.writeSetting(["ipv6", "conf", name, "forwarding"], "1");
}

/**
 * For an interface that has not come up yet; configureInterface() enables IPv6 where an endpoint has it.
 * With it each interface brings a route of its own for fe80::/64 and one for ff00::/8. Both prefixes are one list each in the
 * kernel (net/ipv6/ip6_fib.c), walked when any interface comes, goes or joins a group: among 5,000 interfaces a new one took
 * ten times as long. Not done to interfaces that are up: taking the routes out walks the lists, too, some ms for each.
 */
export function disableIpv6(network: HostNetwork, name: string): void {
  attempt(network, ["ipv6", "conf", name, "disable_ipv6"], "1");
}

/** One setting stands for all: whoever resets an interface resets them together. */
export function isConfigured(network: HostNetwork, name: string): boolean {
  return network.readSetting(["ipv4", "conf", name, "proxy_arp"]) === "1";
}

/** Settings the container works without: a kernel built without IPv6 lacks some. */
function attempt(network: HostNetwork, setting: readonly string[], value: string): void {
  try {
    network.writeSetting(setting, value);
  } catch (error) {
    if (!isKernelError(error, "ENOENT", "EINVAL", "EROFS", "EACCES")) throw error;
  }
}
