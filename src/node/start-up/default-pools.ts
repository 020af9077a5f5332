/**
 * The pools an empty cluster gets (felix-dataplane.md 6.3), one per address family. Pools are routed, never tunnelled: what
 * asks for IPIP or VXLAN is refused, because containers would silently be unreachable where the tunnel was needed.
 * An IPv6 pool is made only where the host has an IPv6 address or the pool's range was given: calico/node always makes one,
 * but across hosts nobody could be reached by it.
 */
import { type Cidr, cidrContains, type IpAddress, parseCidr } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { BadInput } from "../../base/errors.ts";
import { defaultPoolCidr, defaultPoolName, type IpPool, newIpPool } from "../../model/ip-pool.ts";
import type { NewObject } from "../../model/resource.ts";
import { booleanOf, type Environment } from "./environment-words.ts";

export interface DefaultPool {
  /** "choose": a range that holds no address of this host. */
  readonly cidr: Cidr | "choose";
  readonly blockSize: number | undefined;
  readonly natOutgoing: boolean;
  readonly nodeSelector: string | undefined;
  readonly disableBgpExport: boolean;
}

export interface DefaultPools {
  readonly ipv4: DefaultPool | undefined;
  readonly ipv6: DefaultPool | undefined;
}

const defaultIpv6PoolName = "default-ipv6-ippool";

/** `cidr`: of an option, which wins over the variable. @throws BadInput */
export function readDefaultPool(
  env: Environment,
  family: 4 | 6,
  { cidr, byDefault }: { readonly cidr?: string | undefined; readonly byDefault: boolean },
): DefaultPool | undefined {
  const prefix = `CALICO_IPV${family}POOL_`;
  const path = cidr === undefined ? `${prefix}CIDR` : "--pool-cidr";
  const text = (cidr ?? env[`${prefix}CIDR`] ?? "").trim();
  refuseTunnels(env, prefix);
  const blockSize = blockSizeOf(env[`${prefix}BLOCK_SIZE`], `${prefix}BLOCK_SIZE`, family);
  const natOutgoing = booleanOf(env, `${prefix}NAT_OUTGOING`) ?? family === 4;
  const disableBgpExport = booleanOf(env, `${prefix}DISABLE_BGP_EXPORT`) ?? false;
  const nodeSelector = env[`${prefix}NODE_SELECTOR`] || undefined;
  if (text === "none" || (text === "" && !byDefault)) return undefined;
  const range: DefaultPool["cidr"] = text === "" ? "choose" : parseCidr(text, path);
  if (range !== "choose" && range.includes(":") !== (family === 6)) {
    throw new BadInput(path, `${range} is not an IPv${family} range`, `an IPv${family} CIDR or none`);
  }
  const pool = { cidr: range, blockSize, natOutgoing, nodeSelector, disableBgpExport };
  // What would be refused when the cluster is first reached is refused now.
  if (range !== "choose") defaultPoolObject(pool, range, family, { uid: "", nowMs: 0 });
  return pool;
}

export function defaultPoolNameOf(family: 4 | 6): string {
  return family === 4 ? defaultPoolName : defaultIpv6PoolName;
}

/** `taken`: the host's own addresses. */
export function newDefaultPool(
  pool: DefaultPool,
  family: 4 | 6,
  taken: readonly IpAddress[],
  clock: Pick<Clock, "uuid" | "nowMs" | "random">,
): IpPool {
  const cidr = pool.cidr !== "choose" ? pool.cidr : family === 4 ? chooseIpv4(taken) : uniqueLocal(clock);
  return defaultPoolObject(pool, cidr, family, { uid: clock.uuid(), nowMs: clock.nowMs() });
}

/** 192.168.0.0/16, or the first of 172.16.0.0/16 to 172.31.0.0/16, that holds no address of the host. */
export function chooseIpv4(taken: readonly IpAddress[]): Cidr {
  const others = Array.from({ length: 16 }, (_, index) => parseCidr(`172.${16 + index}.0.0/16`));
  const free = [defaultPoolCidr, ...others].find((cidr) => !taken.some((address) => cidrContains(cidr, address)));
  return free ?? defaultPoolCidr;
}

/** A /48 of 40 random bits (RFC 4193 3.2), so that two sites that are joined one day do not collide. */
function uniqueLocal(clock: Pick<Clock, "random">): Cidr {
  const byte = () =>
    Math.floor(clock.random() * 256)
      .toString(16)
      .padStart(2, "0");
  return parseCidr(`fd${byte()}:${byte()}${byte()}:${byte()}${byte()}::/48`);
}

function defaultPoolObject(pool: DefaultPool, cidr: Cidr, family: 4 | 6, stamp: NewObject): IpPool {
  const { blockSize, natOutgoing, nodeSelector, disableBgpExport } = pool;
  return newIpPool(
    {
      name: defaultPoolNameOf(family),
      cidr,
      natOutgoing,
      ...(blockSize === undefined ? {} : { blockSize }),
      ...(nodeSelector === undefined ? {} : { nodeSelector }),
      ...(disableBgpExport ? { disableBgpExport } : {}),
    },
    stamp,
  );
}

function refuseTunnels(env: Environment, prefix: string): void {
  for (const name of [`${prefix}IPIP`, `${prefix}VXLAN`]) {
    const mode = (env[name] ?? "").trim();
    if (["", "never", "off"].includes(mode.toLowerCase())) continue;
    const known = ["always", "crosssubnet"].includes(mode.toLowerCase());
    const problem = known
      ? `${mode}: packets between hosts are routed here, not put into tunnels`
      : `"${mode}" is not known`;
    throw new BadInput(name, problem, "Never, with hosts that reach each other's containers by plain routes");
  }
}

function blockSizeOf(text: string | undefined, path: string, family: 4 | 6): number | undefined {
  if (text === undefined || text === "") return undefined;
  const [least, most] = family === 4 ? [20, 32] : [116, 128];
  const size = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (size < least || size > most) throw new BadInput(path, `"${text}" is no block size`, `${least} to ${most}`);
  return size;
}
