/**
 * What a host that was removed has left is given back, all of it and nothing else: whoever does it is killed at any write, or
 * several do it at once, or the host comes back meanwhile.
 */
import { describe, expect, test } from "bun:test";
import { type IpAddress, parseIpAddress } from "../base/addresses.ts";
import { Ipam } from "../ipam/ipam.ts";
import { impatientClock } from "../ipam/testing/impatient-clock.ts";
import { type Plan, plan } from "../ipam/testing/ipam-plan.ts";
import { Turnstile } from "../ipam/testing/turnstile.ts";
import { nodeKey, resourceKey } from "../model/keys.ts";
import type { Kind } from "../model/kinds.ts";
import { encode } from "../model/resource.ts";
import { hostStatusKey, lastReportedStatusKey, workloadStatusKey } from "../model/status-keys.ts";
import { keyOfWorkloadEndpoint, newWorkloadEndpoint } from "../model/workload-endpoint.ts";
import type { Store } from "../store/store.ts";
import { dyingStore, Killed } from "../store/testing/failing-store.ts";
import { RemovedHosts } from "./removed-hosts.ts";

const { signal } = new AbortController();
const graceMs = 60_000;

async function put(store: Store, kind: Kind, name: string, spec: object): Promise<void> {
  const document = { kind, apiVersion: "projectcalico.org/v3", metadata: { name }, spec };
  await store.put(resourceKey({ kind, name }), JSON.stringify(document));
}

async function endpoint(all: Plan, node: string, workload: string, addresses: readonly string[]): Promise<string> {
  const wep = newWorkloadEndpoint(
    {
      namespace: "default",
      node,
      orchestrator: "mesos",
      endpoint: "eth0",
      workload,
      interfaceName: "cali1",
      addresses: addresses.map((one) => parseIpAddress(one)),
      profiles: [],
    },
    { uid: "u", nowMs: 0 },
  );
  await all.store.put(keyOfWorkloadEndpoint(wep), encode(wep));
  return keyOfWorkloadEndpoint(wep);
}

/** h2 is a node with all that a node can have; h3 lives and has things of h2's blocks, and h2 of h3's. */
async function cluster() {
  const all = await plan(["10.0.0.0/27"], ["h1", "h2", "h3"]);
  const { store } = all;
  const one = await all.assign("h2", { handle: "web" });
  const two = await all.assign("h2", { handle: "web" });
  await endpoint(all, "h2", "web", [one, two]);
  await all.assign("h2", { handle: "ipip-tunnel-addr-h2", use: "Tunnel" });
  const shared = await all.assign("h2", { handle: "moved" });
  await endpoint(all, "h3", "moved", [shared]); // says h2, but an endpoint of h3 has it
  const own = await all.assign("h3", { handle: "db" });
  await endpoint(all, "h3", "db", [own]);
  const borrowed = await all.assign("h3", { address: parseIpAddress("10.0.0.9"), handle: "borrowed" });
  await endpoint(all, "h3", "borrowed", [borrowed]);
  await all.assign("h2", { address: parseIpAddress("10.0.0.25"), handle: "far" }); // in h3's block, without endpoint
  await put(store, "FelixConfiguration", "default", {});
  for (const host of ["h1", "h2", "h3"]) {
    await put(store, "FelixConfiguration", `node.${host}`, { defaultEndpointToHostAction: "Return" });
    await put(store, "BGPConfiguration", `node.${host}`, {});
    await put(store, "HostEndpoint", `hep-${host}`, { node: host, interfaceName: "eth0" });
    await put(store, "BGPPeer", `peer-${host}`, { node: host, peerIP: "10.9.9.9", asNumber: 1 });
    await store.put(lastReportedStatusKey(undefined, host), "{}");
    const id = { orchestrator: "mesos", workload: "default/web", endpoint: "eth0" };
    await store.put(workloadStatusKey("eu", host, id), "{}");
  }
  return { all, kept: [shared, own, borrowed] as const };
}

function clearing({ store, clock }: Plan, on: Store = store, host = "h1") {
  const removed: string[] = [];
  const ipam = new Ipam({ store: on, clock: impatientClock(clock) });
  const hosts = new RemovedHosts({ store: on, ipam, host, graceMs, clock, onRemoved: (name) => removed.push(name) });
  return { hosts, removed, pass: () => hosts.pass(signal) };
}

async function held(ipam: Ipam): Promise<readonly string[]> {
  return (await ipam.listHeld()).map(({ address, handle }) => `${handle} ${address}`).sort();
}

async function keysOf(store: Store, host: string): Promise<readonly string[]> {
  const { kvs } = await store.list("/calico/");
  const words = new RegExp(`(^|[^a-z0-9])${host}($|[^a-z0-9])`);
  return kvs.map(({ key }) => key).filter((key) => words.test(key));
}

async function expectCleared(all: Plan, kept: readonly string[]): Promise<void> {
  expect(await keysOf(all.store, "h2")).toEqual([]);
  const [shared, own, borrowed] = kept;
  expect(await held(all.ipam)).toEqual([`borrowed ${borrowed}`, `db ${own}`, `moved ${shared}`].sort());
  expect((await keysOf(all.store, "h3")).length).toBe(11);
  const handles = (await all.store.list("/calico/ipam/v2/handle/")).kvs.map(({ key }) => key.split("/").at(-1));
  expect(handles).toEqual(["borrowed", "db", "moved"]);
}

test("datastore 65: all that a removed host has left is given back after the grace period, and nothing else", async () => {
  const { all, kept } = await cluster();
  await using _ = all;
  const { pass, removed, hosts } = clearing(all);
  await pass();
  await all.store.delete(nodeKey("h2"));
  const before = (await all.store.list("/")).revision;
  await pass();
  expect(hosts.waiting).toEqual(["h2"]);
  await all.clock.advance(graceMs - 1);
  await pass();
  expect((await all.store.list("/")).revision).toBe(before);
  await all.clock.advance(1);
  await pass();
  expect(removed).toEqual(["h2"]);
  await expectCleared(all, kept);
  const after = (await all.store.list("/")).revision;
  await all.clock.advance(graceMs);
  await pass();
  expect((await all.store.list("/")).revision).toBe(after);
  expect(hosts.waiting).toEqual([]);
});

describe("datastore 65: a host is not taken for removed", () => {
  const cases: readonly [name: string, prepare: (all: Plan) => Promise<unknown>][] = [
    ["that has its Node", async () => {}],
    [
      "whose agent reports, whatever became of its Node",
      async ({ store }) => {
        await store.delete(nodeKey("h2"));
        await store.put(hostStatusKey("eu", "h2"), "{}");
      },
    ],
    [
      "that never was a node here",
      async ({ store }) => {
        await store.delete(nodeKey("h2"));
        await store.delete(resourceKey({ kind: "FelixConfiguration", name: "node.h2" }));
      },
    ],
  ];
  for (const [name, prepare] of cases) {
    test(name, async () => {
      const { all } = await cluster();
      await using _ = all;
      await prepare(all);
      const before = await held(all.ipam);
      const { pass, removed } = clearing(all);
      for (let looks = 0; looks < 3; looks++) {
        await pass();
        await all.clock.advance(graceMs);
      }
      expect(removed).toEqual([]);
      expect(await held(all.ipam)).toEqual(before);
    });
  }

  test("that is this host itself, or that was away for a moment only", async () => {
    const { all } = await cluster();
    await using _ = all;
    const before = await held(all.ipam);
    const own = clearing(all, all.store, "h2");
    const others = clearing(all);
    const node = (await all.store.get(nodeKey("h2")))?.value ?? "";
    for (let looks = 0; looks < 4; looks++) {
      if (looks % 2 === 0) await all.store.delete(nodeKey("h2"));
      else await all.store.put(nodeKey("h2"), node);
      await own.pass();
      await others.pass();
      await all.clock.advance(graceMs - 1);
    }
    expect([...own.removed, ...others.removed]).toEqual([]);
    expect(await held(all.ipam)).toEqual(before);
  });
});

test("datastore 65: a Node seen and then gone is enough where nothing else tells of the host", async () => {
  const { all, kept } = await cluster();
  await using _ = all;
  await all.store.delete(resourceKey({ kind: "FelixConfiguration", name: "node.h2" }));
  const { pass } = clearing(all);
  await pass();
  await all.store.delete(nodeKey("h2"));
  await pass();
  await all.clock.advance(graceMs);
  await pass();
  await expectCleared(all, kept);
});

for (const when of ["before", "after"] as const) {
  test(`datastore 65: killed ${when} any of its writes, the next one does the rest, and no live address is ever free`, async () => {
    let writes = 1;
    for (let at = 1; at <= writes; at++) {
      const { all, kept } = await cluster();
      await using _ = all;
      await all.store.delete(nodeKey("h2"));
      const dying = dyingStore(all.store, at, when);
      const first = clearing(all, dying.store);
      await first.pass();
      await all.clock.advance(graceMs);
      await expect(first.pass()).rejects.toThrow(Killed);
      const left = await held(all.ipam);
      for (const address of kept) expect(left.some((one) => one.endsWith(` ${address}`))).toBe(true);
      // An endpoint that is still there and readable still has its last address, or the other host's.
      const second = clearing(all);
      await second.pass();
      await all.clock.advance(graceMs);
      await second.pass();
      await expectCleared(all, kept);
      if (at > 1) continue;
      const whole = await cluster();
      await using __ = whole.all;
      await whole.all.store.delete(nodeKey("h2"));
      const counting = dyingStore(whole.all.store, 0, when);
      const third = clearing(whole.all, counting.store);
      await third.pass();
      await whole.all.clock.advance(graceMs);
      await third.pass();
      writes = counting.writes();
    }
    expect(writes).toBeGreaterThan(8);
  });
}

test("datastore 65: several hosts at once, in many orders of their requests", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const { all, kept } = await cluster();
    await using _ = all;
    await all.store.delete(nodeKey("h2"));
    const turnstile = new Turnstile(Array.from({ length: 23 }, (__, at) => (seed * 5 + at * (seed + 2)) % 7));
    const waiting = (inner: Store): Store => ({
      ...dyingStore(inner, 0, "before").store,
      list: async (of, options) => turnstile.pass().then(() => inner.list(of, options)),
      transact: async (transaction, options) => turnstile.pass().then(() => inner.transact(transaction, options)),
    });
    const hosts = ["h1", "h3"].map((name) => clearing(all, waiting(all.store), name));
    await turnstile.run(Promise.all(hosts.map(({ pass }) => pass())));
    await all.clock.advance(graceMs);
    await turnstile.run(Promise.all(hosts.map(({ pass }) => pass())));
    // Who lost a race stops there; the next look finds what is left.
    await turnstile.run(Promise.all(hosts.map(({ pass }) => pass())));
    await expectCleared(all, kept);
  }
});

test("datastore 65: a host that comes back meanwhile loses nothing from then on", async () => {
  let writes = 1;
  for (let at = 1; at <= writes; at++) {
    const { all } = await cluster();
    await using _ = all;
    const node = (await all.store.get(nodeKey("h2")))?.value ?? "";
    await all.store.delete(nodeKey("h2"));
    let begun = 0;
    let atReturn: readonly string[] = [];
    const back = async (inner: Store) => {
      begun += 1;
      if (begun !== at) return;
      await inner.put(nodeKey("h2"), node);
      atReturn = (await inner.list("/calico/")).kvs.map(({ key, value }) => `${key} ${value}`);
    };
    const store: Store = {
      ...dyingStore(all.store, 0, "before").store,
      transact: async (transaction, options) => {
        await back(all.store);
        return await all.store.transact(transaction, options);
      },
    };
    const { pass, removed } = clearing(all, store);
    await pass();
    await all.clock.advance(graceMs);
    await pass();
    writes = Math.max(writes, begun);
    if (begun < at) break;
    expect(removed).toEqual([]);
    expect((await all.store.list("/calico/")).kvs.map(({ key, value }) => `${key} ${value}`)).toEqual([...atReturn]);
    writes += 1;
    if (writes > 40) break;
  }
});

test("an endpoint that can be read and is not valid goes with its host", async () => {
  const { all, kept } = await cluster();
  await using _ = all;
  await all.assign("h2", { handle: "odd" });
  const key = resourceKey({ kind: "WorkloadEndpoint", namespace: "default", name: "h2-mesos-odd-eth0" });
  const spec = { node: "h2", ipNetworks: ["no address"] };
  await all.store.put(key, encode({ kind: "WorkloadEndpoint", apiVersion: "v3", metadata: { name: "x" }, spec }));
  await all.store.delete(nodeKey("h2"));
  const { pass } = clearing(all);
  await pass();
  await all.clock.advance(graceMs);
  await pass();
  await expectCleared(all, kept);
});

test("an endpoint nobody can read keeps what it may mean", async () => {
  const { all, kept } = await cluster();
  await using _ = all;
  const address = (await all.assign("h2", { handle: "odd" })) as IpAddress;
  const key = `${resourceKey({ kind: "WorkloadEndpoint", namespace: "default", name: "h2-mesos-odd-eth0" })}`;
  await all.store.put(key, `{"spec":{"node":"h2","ipNetworks":["${address}/32"]`);
  await all.store.delete(nodeKey("h2"));
  const { pass } = clearing(all);
  await pass();
  await all.clock.advance(graceMs);
  await pass();
  expect(await held(all.ipam)).toContain(`odd ${address}`);
  expect(await held(all.ipam)).toHaveLength(kept.length + 1);
  expect(await all.store.get(key)).toBeDefined();
});
