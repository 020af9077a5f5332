/** What a client accepts of an IPPool besides what poolOf() checks, and of changes to one (calico-datastore.md 2.8). */

import { cidrOverlaps, parseCidr, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { type IpPool, poolOf } from "./ip-pool.ts";
import { parseSelector } from "./selector/parse.ts";

const linkLocal = [
  { cidr: parseCidr("169.254.0.0/16"), title: "IPv4 Link Local range 169.254.0.0/16" },
  { cidr: parseCidr("fe80::/10"), title: "IPv6 Link Local range fe80::/10" },
];
const uses = ["Workload", "Tunnel", "LoadBalancer"];

const isOn = (mode: string | undefined) => mode !== undefined && mode !== "" && mode !== "Never";

/** @throws BadInput */
export function checkIpPool(resource: IpPool): void {
  const { spec } = resource;
  if (spec.cidr === "") throw new BadInput("IPPool.Spec.CIDR", "IPPool CIDR must be specified", "a CIDR");
  const { cidr, allowedUses, nodeSelector } = poolOf(resource);
  for (const range of linkLocal) {
    if (!cidrOverlaps(cidr, range.cidr)) continue;
    throw new BadInput("IPPool.Spec.CIDR", `IPPool CIDR overlaps with ${range.title}`, "another CIDR");
  }
  if (isOn(spec.ipipMode) && isOn(spec.vxlanMode)) {
    const problem = "Cannot enable both VXLAN and IPIP on the same IPPool";
    throw new BadInput("IPPool.Spec.VXLANMode", problem, "one encapsulation");
  }
  if (isOn(spec.ipipMode) && cidr.includes(":")) {
    throw new BadInput("IPPool.Spec.IPIPMode", "IPIP is not supported on an IPv6 IP pool", "Never");
  }
  const unknown = allowedUses.find((use) => !uses.includes(use));
  if (unknown !== undefined) throw new BadInput("IPPool.Spec.AllowedUses", `unknown use: ${unknown}`, uses.join(", "));
  if (spec.namespaceSelector) {
    parseSelector(spec.namespaceSelector, "IPPool.Spec.NamespaceSelector", { global: "refuse" });
    if (allowedUses.includes("Tunnel") && spec.allowedUses !== undefined) {
      throw new BadInput(
        "IPPool.Spec.NamespaceSelector",
        "cannot be used together with use Tunnel",
        "use Workload only",
      );
    }
  }
  if (!allowedUses.includes("LoadBalancer")) return;
  const problem =
    allowedUses.length > 1
      ? "LoadBalancer cannot be combined with other uses"
      : nodeSelector !== "all()"
        ? "IPPool with use LoadBalancer must have nodeSelector all()"
        : isOn(spec.ipipMode) || isOn(spec.vxlanMode)
          ? "IPPool with use LoadBalancer cannot have an encapsulation"
          : spec.disableBGPExport !== true
            ? "IPPool with use LoadBalancer must have disableBGPExport true"
            : undefined;
  if (problem !== undefined) throw new BadInput("IPPool.Spec.AllowedUses", problem, "a pool for load balancers only");
}

/** Defaults written out, as every writer of the keyspace does. The CIDR becomes canonical. */
export function withPoolDefaults(resource: IpPool): IpPool {
  const { cidr, blockSize, nodeSelector, allowedUses } = poolOf(resource);
  const { spec } = resource;
  const written = {
    ...spec,
    cidr,
    vxlanMode: spec.vxlanMode || ("Never" as const),
    ipipMode: spec.ipipMode || ("Never" as const),
    blockSize,
    nodeSelector,
    allowedUses: [...allowedUses],
    assignmentMode: spec.assignmentMode ?? ("Automatic" as const),
  };
  return { ...resource, spec: written };
}

/** @throws BadInput for what cannot change while the pool exists. */
export function checkIpPoolChange(before: IpPool, after: IpPool): void {
  const [old, now] = [poolOf(before), poolOf(after)];
  if (old.cidr !== now.cidr) {
    throw new BadInput("IPPool.Spec.CIDR", "IPPool CIDR cannot be modified", old.cidr);
  }
  if (old.blockSize !== now.blockSize) {
    throw new BadInput("IPPool.Spec.BlockSize", "IPPool BlockSize cannot be modified", `${old.blockSize}`);
  }
  if (old.allowedUses.includes("LoadBalancer") && !now.allowedUses.includes("LoadBalancer")) {
    // The spelling is upstream's.
    const problem = "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel";
    throw new BadInput("IPPool.Spec.AllowedUses", problem, "LoadBalancer");
  }
}

/** @throws BadInput when a pool about to be created shares addresses with one that exists. */
export function checkIpPoolOverlap(wanted: IpPool, existing: readonly IpPool[]): void {
  const { name, cidr } = poolOf(wanted);
  for (const { metadata, spec } of existing) {
    const other = tryParseCidr(spec.cidr);
    if (metadata.name === name || other === undefined || !cidrOverlaps(cidr, other)) continue;
    const problem = `IPPool(${name}) CIDR overlaps with IPPool(${metadata.name}) CIDR ${other}`;
    throw new BadInput("IPPool.Spec.CIDR", problem, "a CIDR of its own");
  }
}
