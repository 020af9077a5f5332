/**
 * Which blocks a pool has and in which order a host looks at them: from a start of its own, around the pool, so that
 * hosts rarely want the same block. A large IPv6 pool has 2^74 blocks: nothing here makes a list of them.
 */

import {
  addressAt,
  type Cidr,
  cidrAround,
  cidrCovers,
  cidrOverlaps,
  indexOf,
  networkAddress,
  prefixLength,
} from "../base/addresses.ts";
import type { Pool } from "../model/ip-pool.ts";

export function blockCount(pool: Pool): bigint {
  return 1n << BigInt(Math.max(0, pool.blockSize - prefixLength(pool.cidr)));
}

/** All blocks of the pool that `taken` does not cover or overlap, beginning at the host's start; jumps over what is taken. */
export function* blockCidrs(pool: Pool, host: string, taken: Iterable<Cidr> = []): Generator<Cidr> {
  const last = blockCount(pool) - 1n;
  const start = startOf(pool, host);
  const ranges = takenRanges(pool, taken);
  for (const [from, to] of [
    [start, last],
    [0n, start - 1n],
  ] as const) {
    let at = 0;
    for (let index = from; index <= to; index++) {
      let range = ranges[at];
      while (range !== undefined && range.last < index) range = ranges[++at];
      if (range !== undefined && range.first <= index) index = range.last;
      else yield blockAt(pool, index);
    }
  }
}

/** The blocks whose every address lies in one of the given ranges, as ranges a host may leave out. */
export function whollyWithin(pool: Pool, ranges: readonly Cidr[]): readonly Cidr[] {
  return ranges.filter((range) => cidrOverlaps(range, pool.cidr) && prefixLength(range) <= pool.blockSize);
}

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** By block index, in order, apart from each other. */
function takenRanges(pool: Pool, taken: Iterable<Cidr>): readonly Range[] {
  const ranges: Range[] = [];
  for (const cidr of taken) {
    if (!cidrOverlaps(cidr, pool.cidr)) continue;
    if (cidrCovers(cidr, pool.cidr)) return [{ first: 0n, last: blockCount(pool) - 1n }];
    const first = indexOf(pool.cidr, networkAddress(cidr)) / blockAddresses(pool);
    const length = 1n << BigInt(Math.max(0, pool.blockSize - prefixLength(cidr)));
    ranges.push({ first, last: first + length - 1n });
  }
  ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  return merged(ranges);
}

function merged(ranges: readonly Range[]): readonly Range[] {
  const disjoint: Range[] = [];
  for (const range of ranges) {
    const before = disjoint.at(-1);
    if (before === undefined || before.last < range.first - 1n) disjoint.push(range);
    else if (before.last < range.last) disjoint[disjoint.length - 1] = { first: before.first, last: range.last };
  }
  return disjoint;
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
