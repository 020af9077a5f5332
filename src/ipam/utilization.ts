/** How much of pools and blocks is used (calico-datastore.md 6.5, getUtilization); computed from one reading of the plan. */

import { type Cidr, cidrCovers, cidrOverlaps, ipFamily, prefixLength } from "../base/addresses.ts";
import type { Pool } from "../model/ip-pool.ts";
import type { Block } from "../model/ipam-documents.ts";
import { isEmpty } from "./block-allocation.ts";

export interface BlockUse {
  readonly cidr: Cidr;
  readonly affinity: string | undefined;
  readonly capacity: number;
  readonly used: number;
  readonly empty: boolean;
}

export interface PoolUse {
  readonly pool: Pool;
  readonly capacity: bigint;
  readonly used: number;
  readonly blocks: number;
  /** Addresses automatic assignment leaves out, used or not. */
  readonly reserved: bigint;
}

export interface Utilization {
  readonly pools: readonly PoolUse[];
  readonly blocks: readonly BlockUse[];
}

export function utilizationOf(
  pools: readonly Pool[],
  blocks: readonly Block[],
  reservations: readonly Cidr[],
): Utilization {
  const uses = blocks.map((block) => ({
    cidr: block.cidr,
    affinity: block.affinity,
    capacity: block.allocations.length,
    used: block.allocations.length - block.unallocated.length,
    empty: isEmpty(block),
  }));
  return {
    blocks: uses,
    pools: pools.map((pool) => {
      const inPool = uses.filter(({ cidr }) => cidrCovers(pool.cidr, cidr));
      return {
        pool,
        capacity: sizeOf(pool.cidr),
        used: inPool.reduce((sum, { used }) => sum + used, 0),
        blocks: inPool.length,
        reserved: reservedIn(pool.cidr, reservations),
      };
    }),
  };
}

/** CIDRs lie in each other or apart: counted are those that lie in no other. */
function reservedIn(pool: Cidr, reservations: readonly Cidr[]): bigint {
  const within = [...new Set(reservations.filter((cidr) => cidrOverlaps(cidr, pool)))];
  if (within.some((cidr) => cidrCovers(cidr, pool))) return sizeOf(pool);
  const outermost = within.filter((cidr) => !within.some((other) => other !== cidr && cidrCovers(other, cidr)));
  return outermost.reduce((sum, cidr) => sum + sizeOf(cidr), 0n);
}

function sizeOf(cidr: Cidr): bigint {
  return 1n << BigInt((ipFamily(cidr) === 6 ? 128 : 32) - prefixLength(cidr));
}
