/** What is garbage and when it is cleared away: the planner as a table, and the collector on a store. */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr, parseIpAddress } from "../base/addresses.ts";
import { affinityKey, handleKey, nodeKey } from "../model/keys.ts";
import {
  type GarbageAddress,
  type GarbageTimes,
  type Keeper,
  type Planned,
  planAddresses,
  planUpkeep,
  type Upkeep,
  type UpkeepSnapshot,
} from "./garbage.ts";
import { GarbageCollector } from "./garbage-collector.ts";
import { onlyBlock, type Plan, plan } from "./testing/ipam-plan.ts";

const graceMs = 60_000;
const { signal } = new AbortController();
/** Knows handles that begin with "e"; those with "!" live. */
const keeper: Keeper = {
  isOurs: ({ handle }) => handle?.startsWith("e") === true,
  isAlive: ({ handle }) => handle?.endsWith("!") === true,
};

/** Words: handle@node#sequence, addresses 10.0.0.0 onwards. */
function look(text: string, nowMs: number, before: GarbageTimes): Planned<GarbageAddress> {
  const held = text
    .split(" ")
    .filter((word) => word !== "")
    .map((word, ordinal) => {
      const [, handle = "", node, sequence = "0"] = /^([^@#]*)(?:@([^#]*))?(?:#(.*))?$/.exec(word) ?? [];
      const address = parseIpAddress(`10.0.0.${ordinal}`);
      const attributes: Record<string, string> = node === undefined ? {} : { node };
      return { address, ordinal, handle: handle === "" ? undefined : handle, attributes, sequence: BigInt(sequence) };
    });
  return planAddresses({ host: "h1", held, keepers: [keeper], nowMs, graceMs }, before);
}

function after(...states: readonly (readonly [nowMs: number, text: string])[]): string {
  let since: GarbageTimes = new Map();
  let steps: readonly GarbageAddress[] = [];
  for (const [nowMs, text] of states) ({ steps, since } = look(text, nowMs, since));
  return steps.map(({ address, handle }) => `${handle} ${address}`).join(", ");
}

const addressCases: readonly [name: string, text: string, garbage: string][] = [
  ["an address whose endpoint is gone", "e1@h1", "e1 10.0.0.0"],
  ["an address whose endpoint lives", "e1!@h1", ""],
  ["an address of another host", "e1@h2", ""],
  ["an address that does not say whose it is", "e1", ""],
  ["an address no keeper knows", "cni.x@h1", ""],
  ["an address without handle", "@h1", ""],
  ["one of several", "e1!@h1 e2@h1 x@h1", "e2 10.0.0.1"],
];
for (const [name, text, garbage] of addressCases) {
  test(`${name}: ${garbage === "" ? "stays" : "is given back after the grace period, not before"}`, () => {
    expect(after([0, text])).toBe("");
    expect(after([0, text], [graceMs - 1, text])).toBe("");
    expect(after([0, text], [graceMs, text])).toBe(garbage);
  });
}

test("what was alive in between, or has been assigned anew, starts its grace anew", () => {
  expect(after([0, "e1@h1"], [30_000, "e1!@h1"], [graceMs, "e1@h1"])).toBe("");
  expect(after([0, "e1@h1#1"], [graceMs, "e1@h1#2"])).toBe("");
  expect(after([0, "e1@h1"], [30_000, ""], [graceMs, "e1@h1"])).toBe("");
});

const block = parseCidr("10.0.0.0/28");
const held = (handle: string) => ({
  address: parseIpAddress("10.0.0.1"),
  ordinal: 1,
  handle,
  sequence: 1n,
  attributes: {},
  block,
});
const quiet: UpkeepSnapshot = {
  nowMs: 0,
  graceMs,
  held: [],
  handles: new Map(),
  affinities: [],
  hosts: new Set(["h1"]),
};
const upkeepCases: readonly [name: string, snapshot: Partial<UpkeepSnapshot>, steps: readonly Upkeep["kind"][]][] = [
  [
    "a right count",
    { held: [held("a")], handles: new Map([["a", { revision: 7, counts: new Map([[block, 1]]) }]]) },
    [],
  ],
  [
    "a count too high",
    { held: [held("a")], handles: new Map([["a", { revision: 7, counts: new Map([[block, 2]]) }]]) },
    ["recount-handle"],
  ],
  [
    "a handle without address",
    { handles: new Map([["a", { revision: 7, counts: new Map([[block, 1]]) }]]) },
    ["recount-handle"],
  ],
  ["an address whose handle is lost", { held: [held("a")] }, ["recount-handle"]],
  ["an affinity of a host that is there", { affinities: [{ host: "h1", cidr: block }] }, []],
  ["an affinity of a host that is gone", { affinities: [{ host: "h2", cidr: block }] }, ["release-affinity"]],
  ["the same, with addresses in use", { affinities: [{ host: "h2", cidr: block }], held: [held("")] }, []],
];
for (const [name, change, steps] of upkeepCases) {
  test(`${name}: ${steps.length === 0 ? "stays" : steps}`, () => {
    const first = planUpkeep({ ...quiet, ...change }, new Map());
    expect(first.steps).toEqual([]);
    const later = planUpkeep({ ...quiet, ...change, nowMs: graceMs }, first.since);
    expect(later.steps.map(({ kind }) => kind)).toEqual([...steps]);
  });
}

function collectorOf(at: Plan, told: string[]): GarbageCollector {
  return new GarbageCollector({
    ...at,
    host: "h1",
    graceMs,
    onAddressReleased: ({ handle }) => told.push(`released ${handle}`),
    onUpkeep: ({ kind }) => told.push(kind),
  });
}

test("what upstream's crashes leave in the plan is put right once, after the grace period", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.assign("h1", { handle: "a" });
  const { cidr } = await onlyBlock(at.store);
  await at.store.put(handleKey("a"), `{"block":{"${cidr}":5},"deleted":false}`);
  await at.store.put(handleKey("nothing"), `{"block":{"${cidr}":1},"deleted":false}`);
  await at.assign("h2", { handle: "b" });
  await at.ipam.releaseByHandle("b");
  await at.store.put(affinityKey("ghost", parseCidr("10.0.0.240/28")), '{"state":"pending"}');
  await at.store.delete(nodeKey("h2"));
  const told: string[] = [];
  const collector = collectorOf(at, told);
  await collector.upkeep(signal);
  expect([told, collector.waiting.length]).toEqual([[], 4]);
  await at.clock.advance(graceMs);
  await collector.upkeep(signal);
  expect(told.sort()).toEqual(["recount-handle", "recount-handle", "release-affinity", "release-affinity"]);
  expect((await at.store.get(handleKey("a")))?.value).toBe(`{"block":{"${cidr}":1},"deleted":false}`);
  expect(await at.store.get(handleKey("nothing"))).toBeUndefined();
  expect((await at.store.list("/calico/ipam/v2/host/")).kvs.map(({ key }) => key)).toEqual([affinityKey("h1", cidr)]);
  await collector.upkeep(signal);
  expect([told.length, collector.waiting]).toEqual([4, []]);
});

test("an address given back and taken again between look and release stays", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const address = (await at.assign("h1", { handle: "e1" })) as IpAddress;
  const told: string[] = [];
  const collector = collectorOf(at, told);
  const seen = await collector.look();
  await collector.addresses(seen, [keeper], signal);
  await at.clock.advance(graceMs);
  await at.ipam.releaseByHandle("e1");
  await at.assign("h1", { handle: "e1", address });
  await collector.addresses(seen, [keeper], signal);
  expect([told, (await at.ipam.lookup(address))?.handle]).toEqual([[], "e1"]);
  await collector.addresses(await collector.look(), [keeper], signal);
  await at.clock.advance(graceMs);
  await collector.addresses(await collector.look(), [keeper], signal);
  expect([told, await at.ipam.lookup(address)]).toEqual([["released e1"], undefined]);
});

test("an address in a borrowed block is found too", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  await at.assign("h2");
  await at.assign("h1", { handle: "e1" });
  const told: string[] = [];
  const collector = collectorOf(at, told);
  await collector.addresses(await collector.look(), [keeper], signal);
  await at.clock.advance(graceMs);
  await collector.addresses(await collector.look(), [keeper], signal);
  expect(told).toEqual(["released e1"]);
});
