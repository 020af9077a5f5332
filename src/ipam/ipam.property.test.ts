/**
 * Many allocators on one store, each of which loses its connection before or after a transaction took effect, as a
 * crash would: whatever happens, no address is held twice and the documents agree with each other.
 */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { type IpAddress, parseCidr } from "../base/addresses.ts";
import { type Clock, TestClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { newIpPool } from "../model/ip-pool.ts";
import { allocationsOf, decodeAffinity, decodeBlock, decodeHandle, ownerHost } from "../model/ipam-documents.ts";
import {
  blocksPrefix,
  handlesPrefix,
  ipamPrefix,
  ipPoolKey,
  nodeKey,
  parseAffinityKey,
  parseHandleKey,
} from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { encode } from "../model/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { Ipam } from "./ipam.ts";
import { KnownDocuments } from "./known-documents.ts";
import { impatientClock } from "./testing/impatient-clock.ts";

type Fault = "none" | "before" | "after";
type Step =
  | {
      /** At once, or set aside first. */
      readonly kind: "assign" | "start";
      readonly host: number;
      readonly fault: Fault;
      readonly ordinal: number | undefined;
    }
  | { readonly kind: "release"; readonly host: number; readonly fault: Fault; readonly which: number };

const fault = fc.constantFrom<Fault>("none", "none", "none", "before", "after");
const host = fc.integer({ min: 0, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("assign" as const, "start" as const),
      host,
      fault,
      ordinal: fc.option(fc.integer({ min: 0, max: 63 }), { nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("release" as const),
      host,
      fault,
      which: fc.nat(30),
    }),
  },
);

/** How much of what others did each host has been told, from nothing to everything; undefined: it knows nothing by itself. */
for (const told of [undefined, 0, 0.5, 1])
  test(`no address is ever held twice, whatever fails and whoever asks at the same time (told: ${told ?? "-"})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { maxLength: 12 }), async (rounds) => {
        await run(rounds, told);
      }),
      { numRuns: told === undefined ? 100 : 50 },
    );
  });

async function run(rounds: readonly (readonly Step[])[], told: number | undefined): Promise<void> {
  const clock = new TestClock();
  const impatient = impatientClock(clock);
  await using store = await openSqliteStore({ path: ":memory:", clock });
  const pool = newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/26"), blockSize: 28 }, { uid: "u", nowMs: 0 });
  await store.put(ipPoolKey("p"), encode(pool));
  for (let at = 0; at < 4; at++)
    await store.put(nodeKey(`h${at}`), encode(newNode({ name: `h${at}` }, { uid: "u", nowMs: 0 })));

  const held = new Map<string, IpAddress>();
  const knowledge = told === undefined ? [] : [0, 1, 2, 3].map((at) => knowingHost(`h${at}`));
  let handles = 0;
  for (const round of rounds) {
    await clock.advance(40_000);
    for (const known of knowledge) await tell(store, known, told ?? 0);
    const plans = new Map<number, { ipam: Ipam; faults: Fault[] }>();
    await Promise.all(
      round.map(async (wanted) => {
        const { ipam, faults } = plans.get(wanted.host) ?? allocator(store, impatient, knowledge[wanted.host]);
        plans.set(wanted.host, { ipam, faults });
        faults.push(wanted.fault);
        const handle = `handle-${++handles}`;
        try {
          if (wanted.kind !== "release") {
            const address = parseCidr(`10.0.0.${wanted.ordinal ?? 0}`).split("/")[0] as IpAddress;
            const asked = {
              host: `h${wanted.host}`,
              family: 4 as const,
              ...(wanted.ordinal === undefined ? {} : { address }),
            };
            const given =
              wanted.kind === "assign" ? await ipam.assignAddress({ ...asked, handle }) : await ipam.setAside(asked);
            if (wanted.kind === "start") await ipam.assignThese({ host: asked.host, addresses: [given], handle });
            expect([...held.values()]).not.toContain(given);
            held.set(handle, given);
          } else {
            const [chosen] = [...held.keys()].slice(wanted.which);
            if (chosen === undefined) return;
            held.delete(chosen); // what becomes of it is unknown until the call has succeeded
            await ipam.releaseByHandle(chosen);
          }
        } catch (error) {
          if (!(error instanceof OperationError)) throw error;
        }
      }),
    );
    await check(store, held);
  }
}

function knowingHost(name: string): KnownDocuments {
  return new KnownDocuments({ host: name, isCurrent: () => true });
}

/** Some of what is there now, and some of it twice; what is gone is never told. */
async function tell(store: Store, known: KnownDocuments, share: number): Promise<void> {
  const { kvs } = await store.list("/calico/");
  for (const [at, kv] of kvs.entries()) if ((at * 7919) % 100 < share * 100) known.seen(kv.key, kv);
}

/** An allocator of its own process whose store fails as told, one fault per transaction that writes. */
function allocator(store: Store, clock: Clock, known?: KnownDocuments): { ipam: Ipam; faults: Fault[] } {
  const faults: Fault[] = [];
  const failing: Store = Object.create(store, {
    transact: {
      value: async (...given: Parameters<Store["transact"]>) => {
        const writes = given[0].success.some((operation) => "put" in operation || "delete" in operation);
        const next = writes ? (faults.shift() ?? "none") : "none";
        if (next === "before") throw new OperationError("STORE_UNAVAILABLE", "cut before");
        const outcome = await store.transact(...given);
        if (next === "after") throw new OperationError("STORE_UNAVAILABLE", "cut after");
        return outcome;
      },
    },
  });
  return { ipam: new Ipam({ store: failing, clock, ...(known === undefined ? {} : { known }) }), faults };
}

async function check(store: Store, held: ReadonlyMap<string, IpAddress>): Promise<void> {
  const blocks = (await store.list(blocksPrefix)).kvs.map(({ value }) => ({
    block: decodeBlock(value),
    raw: JSON.parse(value),
  }));
  const inHandles = new Map<string, Map<string, number>>();
  const byHandle = new Map<string, string[]>();
  for (const { block, raw } of blocks) {
    const ordinals = block.allocations.flatMap((index, ordinal) => (index === undefined ? [] : [ordinal]));
    expect([...raw.unallocated, ...ordinals].sort((a, b) => a - b)).toEqual(
      block.allocations.map((_, ordinal) => ordinal),
    );
    expect([...block.sequenceByOrdinal.keys()].sort((a, b) => a - b)).toEqual(ordinals);
    expect(new Set(block.allocations.filter((index) => index !== undefined)).size).toBe(block.attributes.length);
    for (const { handle = "", address } of allocationsOf(block)) {
      const counts = inHandles.get(handle) ?? new Map<string, number>();
      inHandles.set(handle, counts.set(block.cidr, (counts.get(block.cidr) ?? 0) + 1));
      byHandle.set(handle, [...(byHandle.get(handle) ?? []), address]);
    }
  }
  for (const [handle, address] of held) expect(byHandle.get(handle) ?? []).toEqual([address]);
  const stored = (await store.list(handlesPrefix)).kvs.map(
    ({ key, value }) => [parseHandleKey(key) ?? "", decodeHandle(value)] as const,
  );
  expect(new Map(stored) as ReadonlyMap<string, unknown>).toEqual(inHandles);
  const affinities = (await store.list(`${ipamPrefix}host/`)).kvs.map(({ key, value }) => ({
    ...parseAffinityKey(key),
    state: decodeAffinity(value),
  }));
  const owned = blocks.flatMap(({ block }) =>
    ownerHost(block) === undefined ? [] : [`${ownerHost(block)} ${block.cidr} confirmed`],
  );
  expect(affinities.map(({ host: owner, cidr, state }) => `${owner} ${cidr} ${state}`).sort()).toEqual(owned.sort());
}
