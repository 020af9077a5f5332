/**
 * What a host needs to know before it may take an address: pools, its Node object, its affinities, reservations and the
 * configuration, all as of one read. Invalid pools and reservations count as absent (for pools: nothing is given).
 */

import { type Cidr, cidrContains, cidrCovers, type IpAddress, ipFamily, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { decodeIpPool, type Pool } from "../model/ip-pool.ts";
import {
  decodeIpamConfig,
  defaultIpamConfig,
  defaultIpamConfigText,
  type IpamConfig,
} from "../model/ipam-documents.ts";
import { ipamConfigKey, ipPoolKey, nodeKey } from "../model/keys.ts";
import { IpReservation } from "../model/label-owners.ts";
import { decodeNode } from "../model/node.ts";
import { decode } from "../model/resource.ts";
import { parseSelector } from "../model/selector/parse.ts";
import { matches } from "../model/selector/selector.ts";
import type { KeyValue } from "../store/store.ts";
import type { Draft } from "./draft.ts";
import { hostViewKeys, poolsPrefix, reservationsPrefix } from "./host-view-keys.ts";
import { ipamError } from "./ipam-error.ts";

export interface HostView {
  readonly host: string;
  readonly config: IpamConfig;
  readonly pools: readonly Pool[];
  /** By an IPReservation, or set aside: not for automatic assignment. */
  readonly reserved: (address: IpAddress) => boolean;
  readonly isSetAside: (address: IpAddress) => boolean;
  readonly reservedCidrs: readonly Cidr[];
  /** Whether the pool is for this host by its node selector. */
  readonly selected: (pool: Pool) => boolean;
}

/** @throws IPAM_HOST_UNKNOWN when the host has no Node object. */
export async function readHostView(
  draft: Draft,
  host: string,
  isSetAside: (address: IpAddress) => boolean,
): Promise<HostView> {
  const { keys, prefixes } = hostViewKeys(host);
  await draft.fetch(keys, prefixes);
  const nodeText = await draft.value(nodeKey(host));
  if (nodeText === undefined) {
    throw ipamError("IPAM_HOST_UNKNOWN", `host ${host} has no Node object in the store`, {
      remedy: "start margay node on it; the host name must be the same everywhere",
    });
  }
  const reservations = await readReservations(draft);
  return {
    host,
    config: await readConfig(draft),
    pools: await readPools(draft),
    reservedCidrs: reservations,
    reserved: (address) => isSetAside(address) || reservations.some((cidr) => cidrContains(cidr, address)),
    isSetAside,
    selected: selectedBy(nodeText, host),
  };
}

/** Which pools are for the host of that Node document. */
export function selectedBy(nodeText: string, host: string): (pool: Pool) => boolean {
  const labels = new Map(Object.entries(decodeNode(nodeText, nodeKey(host)).metadata.labels ?? {}));
  return (pool) => matches(parseSelector(pool.nodeSelector), labels);
}

/** Ranges automatic assignment leaves out; those that cannot be read are none. */
export async function readReservations(draft: Draft): Promise<readonly Cidr[]> {
  return (await draft.list(reservationsPrefix)).flatMap(reservedCidrs);
}

/** In key order; those that cannot be read are left out. */
export async function readPools(draft: Draft): Promise<readonly Pool[]> {
  return (await draft.list(poolsPrefix)).flatMap(({ key, value }) => {
    try {
      return [decodeIpPool(value, key)];
    } catch (error) {
      if (error instanceof BadInput) return [];
      throw error;
    }
  });
}

export async function readConfig(draft: Draft): Promise<IpamConfig> {
  const text = await draft.value(ipamConfigKey);
  return text === undefined ? defaultIpamConfig : decodeIpamConfig(text, ipamConfigKey);
}

/** The first use of IPAM writes the configuration down. */
export async function ensureConfig(draft: Draft): Promise<void> {
  if ((await draft.value(ipamConfigKey)) === undefined) draft.setPlain(ipamConfigKey, defaultIpamConfigText);
}

export interface PoolWish {
  readonly family: 4 | 6;
  /** Only these, each of which must be an enabled pool's CIDR; selectors and assignment mode are then ignored. */
  readonly pools?: readonly Cidr[];
  readonly use: string;
}

/** The pools a request may be served from. @throws IPAM_POOL_UNKNOWN, IPAM_NO_POOL */
export function usablePools(view: HostView, { family, pools: requested, use }: PoolWish): readonly Pool[] {
  const enabled = view.pools.filter((pool) => pool.allocatable && ipFamily(pool.cidr) === family);
  let usable: readonly Pool[];
  if (requested !== undefined && requested.length > 0) {
    usable = requested.map((cidr) => {
      const pool = enabled.find((candidate) => candidate.cidr === cidr);
      if (pool !== undefined) return pool;
      throw ipamError("IPAM_POOL_UNKNOWN", `the given pool (${cidr}) does not exist, or is not enabled`);
    });
  } else {
    usable = enabled.filter((pool) => pool.automatic && view.selected(pool));
    if (usable.length === 0) throw ipamError("IPAM_NO_POOL", `no configured Calico pools for node ${view.host}`);
  }
  const fitting = usable.filter((pool) => pool.allowedUses.includes(use));
  if (fitting.length > 0) return fitting;
  const problem = `cannot find a qualified ippool, no pools match the required use (${use})`;
  throw ipamError("IPAM_NO_POOL", problem);
}

export function poolOfBlock(pools: readonly Pool[], block: Cidr): Pool | undefined {
  return pools.find((pool) => cidrCovers(pool.cidr, block));
}

/** The answer is no longer right once the pool is changed, disabled or gone. */
export function relyOnPool(draft: Draft, pool: Pool): void {
  draft.rely(ipPoolKey(pool.name));
}

function reservedCidrs({ key, value }: KeyValue): readonly Cidr[] {
  try {
    const { spec } = decode(IpReservation, value, key);
    return (spec.reservedCIDRs ?? []).flatMap((text) => tryParseCidr(text) ?? []);
  } catch (error) {
    if (error instanceof BadInput) return [];
    throw error;
  }
}
