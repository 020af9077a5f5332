/**
 * Which blocks a pool has and in which order a host looks at them: from a start of its own, around the pool, so that
 * hosts rarely want the same block. A large IPv6 pool has 2^74 blocks: nothing here makes a list of them.
 */

import { addressAt, type Cidr, cidrAround, indexOf, networkAddress, prefixLength } from "../base/addresses.ts";
import type { Pool } from "../model/ip-pool.ts";

export function blockCount(pool: Pool): bigint {
  return 1n << BigInt(Math.max(0, pool.blockSize - prefixLength(pool.cidr)));
}

/** All blocks of the pool, beginning at the host's start. */
export function* blockCidrs(pool: Pool, host: string): Generator<Cidr> {
  const count = blockCount(pool);
  const start = startOf(pool, host);
  for (let step = 0n; step < count; step++) yield blockAt(pool, (start + step) % count);
}

/** The given blocks of the pool in the host's order. */
export function inHostOrder(pool: Pool, host: string, blocks: readonly Cidr[]): readonly Cidr[] {
  const count = blockCount(pool);
  const start = startOf(pool, host);
  const distance = (cidr: Cidr) => {
    const index = indexOf(pool.cidr, networkAddress(cidr)) / blockAddresses(pool);
    return (((index - start) % count) + count) % count;
  };
  const keyed = blocks.map((cidr) => ({ cidr, far: distance(cidr) }));
  return keyed.sort((a, b) => (a.far < b.far ? -1 : a.far > b.far ? 1 : 0)).map(({ cidr }) => cidr);
}

function blockAt(pool: Pool, index: bigint): Cidr {
  return cidrAround(addressAt(pool.cidr, index * blockAddresses(pool)), pool.blockSize);
}

function blockAddresses(pool: Pool): bigint {
  return 1n << BigInt((pool.cidr.includes(":") ? 128 : 32) - pool.blockSize);
}

/** FNV-1 over the host name, as upstream seeds its choice; any start is compatible, distinct ones avoid contention. */
function startOf(pool: Pool, host: string): bigint {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(host)) hash = (Math.imul(hash, 0x01000193) >>> 0) ^ byte;
  // FNV-1 barely mixes the last byte upwards, and hosts differ in their last digit: spread it over all bits.
  const mixed = BigInt(hash >>> 0) * 0x9e3779b97f4a7c15n;
  return ((mixed >> 20n) & 0xffffffffffn) % blockCount(pool);
}
