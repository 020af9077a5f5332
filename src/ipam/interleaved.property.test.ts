/**
 * Our allocators beside writers that do in many steps what we do in one, on the same hosts and blocks, every request to the
 * store interleaved at random, each party cut off at any of them: no address twice, no handle that forgets an address, and
 * afterwards the garbage collectors take back what nobody has, leave to the living what they hold, and everything counts as
 * it should.
 */

import { test } from "bun:test";
import fc from "fast-check";
import { type IpAddress, parseCidr } from "../base/addresses.ts";
import { type Clock, TestClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { newIpPool } from "../model/ip-pool.ts";
import { ipamConfigKey, ipPoolKey, nodeKey } from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { encode } from "../model/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { Ipam } from "./ipam.ts";
import { impatientClock } from "./testing/impatient-clock.ts";
import { checkPlan, type Held, mendPlan } from "./testing/plan-checks.ts";
import { RetriesExhausted, StepwiseWriter } from "./testing/stepwise-writer.ts";
import { Turnstile } from "./testing/turnstile.ts";

const stamp = { uid: "u", nowMs: 0 };
const hosts = ["h0", "h1", "h2"];

interface Action {
  readonly kind:
    | "assign"
    | "assign-several"
    | "release-handle"
    | "release-address"
    | "release-affinities"
    | "start"
    | "release-others";
  readonly which: number;
}

interface Party {
  readonly host: number;
  readonly stepwise: boolean;
  /** Requests to the store before it dies; undefined: it lives. */
  readonly diesAfter: number | undefined;
  readonly actions: readonly Action[];
}

const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom<Action["kind"]>(
    "assign",
    "assign",
    "assign-several",
    "release-handle",
    "release-address",
    "release-affinities",
    "start",
    "release-others",
  ),
  which: fc.nat(5),
});
const party: fc.Arbitrary<Party> = fc.record({
  host: fc.nat(hosts.length - 1),
  stepwise: fc.boolean(),
  diesAfter: fc.option(fc.nat(60), { nil: undefined }),
  actions: fc.array(action, { minLength: 1, maxLength: 6 }),
});

class Died extends Error {}

/** What random runs have found, to be tried in every run. */
const found: [Party[], number[]][] = [
  // An index entry was deleted while the block that it is for was being claimed.
  [
    [
      {
        host: 2,
        stepwise: true,
        diesAfter: 9,
        actions: [
          { kind: "release-affinities", which: 0 },
          { kind: "assign", which: 0 },
        ],
      },
      { host: 2, stepwise: false, diesAfter: undefined, actions: [{ kind: "assign", which: 0 }] },
      {
        host: 0,
        stepwise: false,
        diesAfter: undefined,
        actions: [
          { kind: "assign", which: 0 },
          { kind: "assign", which: 0 },
        ],
      },
    ],
    [17, 4, 1, 0, 17, 0, 0, 0, 17, 20, 20],
  ],
];

for (const family of [4, 6] as const) {
  for (const strict of [false, true]) {
    const name = `IPv${family}, ${strict ? "strict affinity" : "borrowing"}`;
    test(`stepwise writers and ours share blocks without harm (${name})`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(party, { minLength: 2, maxLength: 5 }),
          fc.array(fc.nat(20), { minLength: 1, maxLength: 60 }),
          (parties, choices) => run(parties, choices, family, strict),
        ),
        { numRuns: 60, examples: found },
      );
    });
  }
}

async function run(
  parties: readonly Party[],
  choices: readonly number[],
  family: 4 | 6,
  strict: boolean,
): Promise<void> {
  const clock = new TestClock();
  const impatient = impatientClock(clock);
  await using store = await openSqliteStore({ path: ":memory:", clock });
  const [cidr, blockSize] = family === 4 ? ["10.0.0.0/28", 30] : ["fd00::/124", 126];
  await store.put(ipPoolKey("p"), encode(newIpPool({ name: "p", cidr: parseCidr(cidr), blockSize }, stamp)));
  await store.put(ipamConfigKey, JSON.stringify({ auto_allocate_blocks: true, strict_affinity: strict }));
  for (const name of hosts) await store.put(nodeKey(name), encode(newNode({ name }, stamp)));
  const turnstile = new Turnstile(choices);
  const held = new Map<string, readonly IpAddress[]>();
  await turnstile.run(
    Promise.all(
      parties.map(async (one, at) => {
        let left = one.diesAfter ?? Number.POSITIVE_INFINITY;
        const turn = async () => {
          if (left-- <= 0) throw new Died();
          await turnstile.pass();
        };
        try {
          await (one.stepwise ? actStepwise : actAsOurs)(one, at, store, impatient, family, turn, held);
        } catch (error) {
          if (!(error instanceof Died)) throw error;
        }
      }),
    ),
  );
  await checkPlan(store, held);
  await clock.advance(120_000);
  await mendPlan(store, new Ipam({ store, clock: impatient }), { hosts, family, held, clock });
}

function gain(held: Held, handle: string, addresses: readonly IpAddress[]): void {
  held.set(handle, [...(held.get(handle) ?? []), ...addresses]);
}

/** What becomes of it is unknown until the release has succeeded. */
function lose(held: Held, handle: string, addresses: readonly IpAddress[]): void {
  const left = (held.get(handle) ?? []).filter((address) => !addresses.includes(address));
  if (left.length === 0) held.delete(handle);
  else held.set(handle, left);
}

async function actStepwise(
  { host, actions }: Party,
  at: number,
  store: Store,
  clock: Clock,
  family: 4 | 6,
  turn: () => Promise<void>,
  held: Held,
): Promise<void> {
  const writer = new StepwiseWriter({ store, clock, family, turn, host: hosts[host] ?? "" });
  for (const [number, { kind, which }] of actions.entries()) {
    const handle = `stepwise-${at}-${number % 2}`; // used again, also while others release its addresses
    const [own, addresses = []] = [...held].filter(([name]) => name.startsWith(`stepwise-${at}-`))[which % 2] ?? [];
    try {
      if (kind === "assign" || kind === "assign-several") {
        const given = await writer.autoAssign(kind === "assign" ? 1 : 3, handle);
        await turn(); // it may die before anybody hears of them
        gain(held, handle, given);
      } else if (kind === "release-affinities") await writer.releaseAffinities(which % 2 === 0);
      else if (own === undefined) continue;
      else if (kind === "release-handle") {
        lose(held, own, addresses);
        await writer.releaseByHandle(own);
      } else {
        const [first] = addresses;
        if (first === undefined) continue;
        lose(held, own, [first]);
        await writer.releaseIp(first, own).catch(unlessDead);
      }
    } catch (error) {
      if (!(error instanceof RetriesExhausted)) throw error;
    }
  }
}

async function actAsOurs(
  { host, actions }: Party,
  at: number,
  store: Store,
  clock: Clock,
  family: 4 | 6,
  turn: () => Promise<void>,
  held: Held,
): Promise<void> {
  const waiting: Store = Object.create(store, {
    transact: {
      value: async (...given: Parameters<Store["transact"]>) => {
        await turn();
        return await store.transact(...given);
      },
    },
    list: {
      value: async (...given: Parameters<Store["list"]>) => {
        await turn();
        return await store.list(...given);
      },
    },
  });
  const ipam = new Ipam({ store: waiting, clock });
  const request = { host: hosts[host] ?? "", family };
  const ways = {
    assign: async (handle: string) => [await ipam.assignAddress({ ...request, handle })],
    start: async (handle: string) => {
      const addresses = [await ipam.setAside(request)];
      await ipam.assignThese({ host: request.host, addresses, handle });
      return addresses;
    },
    "assign-several": async (handle: string) =>
      (await ipam.assignAddresses({ ...request, handle, count: 3 })).addresses,
  };
  for (const [number, { kind, which }] of actions.entries()) {
    const handle = `ours-${at}-${number}`;
    const all = [...held].filter(([name]) => kind === "release-others" || name.startsWith(`ours-${at}-`));
    const [own, addresses = []] = all[which % Math.max(1, all.length)] ?? [];
    const [first] = addresses;
    try {
      if (kind === "assign" || kind === "start" || kind === "assign-several") {
        const given = await ways[kind](handle);
        await turn(); // it may die before anybody hears of them
        gain(held, handle, given);
      } else if (kind === "release-affinities") {
        await ipam.releaseAffinities({ host: request.host, emptyOnly: which % 2 === 0 });
      } else if (own === undefined || first === undefined) continue;
      else if (kind === "release-address" || kind === "release-others") {
        lose(held, own, [first]);
        await ipam.releaseAddress(first, { handle: own });
      } else {
        lose(held, own, addresses);
        await ipam.releaseByHandle(own);
      }
    } catch (error) {
      if (!(error instanceof OperationError) || !error.code.startsWith("IPAM_")) throw error;
    }
  }
}

function unlessDead(error: unknown): void {
  if (error instanceof Died) throw error;
}
