/** Containers networked by command, on the real kernel: what they get, what is refused, and that what fails leaves nothing. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { systemClock, TestClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { Ipam } from "../../ipam/ipam.ts";
import { TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import { newIpPool } from "../../model/ip-pool.ts";
import { handlesPrefix, ipPoolKey, kindPrefix, nodeKey } from "../../model/keys.ts";
import { newNode } from "../../model/node.ts";
import { encode } from "../../model/resource.ts";
import { Dataplane } from "../../node/dataplane/dataplane.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import { WorkloadAttachment } from "./workload-attachment.ts";
import type { AttachRequest } from "./workload-requests.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const { signal } = new AbortController();

let host: TestNamespace;
let container: TestNamespace;
let store: Store;
let dataplane: Dataplane;
let attachment: WorkloadAttachment;
let gate: () => Promise<void>;

beforeEach(async () => {
  container = new TestNamespace("work");
  host = new TestNamespace("whost", { enter: true });
  store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
  const address = parseIpAddress("10.0.0.1");
  dataplane = await Dataplane.open({ clock: systemClock, log: silentLog, host: { name: "host1", address } });
  await store.put(nodeKey("host1"), encode(newNode({ name: "host1", ipv4: "10.0.0.1/24" }, stamp)));
  for (const cidr of ["192.168.0.0/26", "fd80::/122"]) {
    const name = cidr.startsWith("fd") ? "six" : "four";
    await store.put(ipPoolKey(name), encode(newIpPool({ name, cidr: parseCidr(cidr) }, stamp)));
  }
  gate = () => Promise.resolve();
  attachment = new WorkloadAttachment({
    agent: { host: { name: "host1" }, dataplane, programmed: () => gate() },
    store,
    ipam: new Ipam({ store, clock: systemClock }),
    clock: systemClock,
    log: silentLog,
  });
});
afterEach(async () => {
  await dataplane.close();
  await store[Symbol.asyncDispose]();
  host[Symbol.dispose]();
  container[Symbol.dispose]();
});

const workload = { orchestrator: "docker", workload: "abc123" } as const;
const place = () => ({ ...workload, namespacePath: container.path, interfaceName: "eth1" });
const attach = (wanted: AttachRequest["wanted"], more: Partial<AttachRequest> = {}) =>
  attachment.attach({ ...place(), wanted, ...more }, signal);

/** Of endpoints: links on the host, interfaces and routes of the container, keys of the store. */
async function traces(): Promise<readonly string[]> {
  const words = (text: string) => text.split("\n").filter((line) => line !== "");
  // Names only: whether the kernel has seen a carrier yet is a matter of time.
  const names = (text: string) => words(text).map((line) => line.split(": ")[1] ?? "");
  const links = names(host.must("ip", "-o", "link")).filter((name) => /cali|temp/.test(name));
  const inside = names(container.must("ip", "-o", "link")).filter((name) => name !== "lo");
  const kvs = [...(await store.list(handlesPrefix)).kvs, ...(await store.list(kindPrefix("WorkloadEndpoint"))).kvs];
  return [...links, ...inside, ...words(container.must("ip", "route")), ...kvs.map(({ key }) => key)];
}

test("a container gets its interface, its address and a way out, and loses all of it", async () => {
  const { endpoint, address } = await attach({ family: 4 });
  expect(container.must("ip", "-o", "-4", "addr", "show", "eth1")).toContain(` ${address}/32 `);
  const routes = container.must("ip", "route");
  expect(routes).toMatch(/^default via 169\.254\.1\.1 dev eth1 /m);
  expect(routes).toMatch(/^169\.254\.1\.1 dev eth1 .*scope link/m);
  expect(container.must("ip", "-o", "link", "show", "eth1")).toMatch(/<.*UP.*>.* ee:ee:ee:ee:ee:ee /);
  expect(host.must("ip", "-o", "link")).toContain(`cali${endpoint.slice(0, 11)}@`);
  await expect(attach({ family: 4 })).rejects.toMatchObject({ code: "WORKLOAD_ATTACHED" });
  expect(await attachment.detach(workload, signal)).toEqual({ removed: 1 });
  expect(await traces()).toEqual([]);
  expect(await attachment.detach(workload, signal)).toEqual({ removed: 0 });
});

test("addresses come and go on an interface of any name, of both families", async () => {
  const request = { ...place(), interfaceName: "hello" };
  await attach({ address: "192.168.0.9" }, { interfaceName: "hello" });
  await attachment.addAddress({ ...request, address: "192.168.0.10" }, signal);
  await attachment.addAddress({ ...request, address: "fd80::9" }, signal);
  const shown = () => container.must("ip", "-o", "addr", "show", "hello");
  for (const text of [" 192.168.0.9/32 ", " 192.168.0.10/32 ", " fd80::9/128 "]) expect(shown()).toContain(text);
  await attachment.removeAddress({ ...request, address: "192.168.0.10" }, signal);
  expect(shown()).not.toContain("192.168.0.10");
  const unknown = attachment.removeAddress({ ...request, address: "192.168.0.10" }, signal);
  await expect(unknown).rejects.toMatchObject({ code: "WORKLOAD_ADDRESS_UNKNOWN" });
  // What was removed may be had by others.
  const other = new TestNamespace("other");
  try {
    const others = { workload: "other", namespacePath: other.path };
    await attach({ address: "192.168.0.10" }, others);
    await expect(
      attach({ address: "192.168.0.9" }, { ...others, workload: "third", interfaceName: "eth2" }),
    ).rejects.toMatchObject({
      code: "IPAM_ADDRESS_IN_USE",
    });
    await attachment.detach({ ...workload, workload: "other" }, signal);
  } finally {
    other[Symbol.dispose]();
  }
  await attachment.detach(workload, signal);
  expect(await traces()).toEqual([]);
});

const refused: readonly (readonly [why: string, code: string, request: () => Promise<unknown>])[] = [
  [
    "no such namespace",
    "WORKLOAD_NAMESPACE_UNKNOWN",
    () => attach({ family: 4 }, { namespacePath: "/run/netns/nosuch" }),
  ],
  [
    "the host's own namespace",
    "WORKLOAD_HOST_NETWORK",
    () => attach({ family: 4 }, { namespacePath: "/proc/self/ns/net" }),
  ],
  ["an interface that is there", "WORKLOAD_INTERFACE_TAKEN", () => attach({ family: 4 }, { interfaceName: "lo" })],
  ["an address outside of the pools", "IPAM_ADDRESS_OUTSIDE_POOLS", () => attach({ address: "10.9.9.9" })],
  ["a pool that is not there", "IPAM_POOL_UNKNOWN", () => attach({ pool: "10.0.0.0/8" })],
  [
    "an address of a container that has none",
    "WORKLOAD_UNKNOWN",
    () => attachment.addAddress({ ...place(), address: "192.168.0.1" }, signal),
  ],
];
for (const [why, code, request] of refused) {
  test(`refused, and nothing is left: ${why}`, async () => {
    await expect(request()).rejects.toMatchObject({ code });
    expect(await traces()).toEqual([]);
  });
}

test("what the kernel or the gate refuses on the way is taken back", async () => {
  gate = () => Promise.reject(new OperationError("NODE_GATE_KERNEL", "not in force"));
  await expect(attach({ family: 4 })).rejects.toMatchObject({ code: "NODE_GATE_KERNEL" });
  expect(await traces()).toEqual([]);
  // While the gate is passed, somebody takes the name away.
  gate = async () => void container.must("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "peer");
  await expect(attach({ family: 4 })).rejects.toMatchObject({ code: "EEXIST" });
  container.must("ip", "link", "del", "eth1");
  expect(await traces()).toEqual([]);
  gate = () => Promise.resolve();
  await attach({ family: 4 });
  const before = await traces();
  gate = () => Promise.reject(new OperationError("NODE_GATE_KERNEL", "not in force"));
  const more = attachment.addAddress({ ...place(), address: "192.168.0.40" }, signal);
  await expect(more).rejects.toMatchObject({ code: "NODE_GATE_KERNEL" });
  expect(await traces()).toEqual(before);
  // Somebody gives it a profile meanwhile: that stays.
  gate = async () => {
    const [kv] = (await store.list(kindPrefix("WorkloadEndpoint"))).kvs;
    if (kv !== undefined) await store.put(kv.key, kv.value.replace('"profiles":[]', '"profiles":["web"]'));
    throw new OperationError("NODE_GATE_KERNEL", "not in force");
  };
  const again = attachment.addAddress({ ...place(), address: "192.168.0.40" }, signal);
  await expect(again).rejects.toMatchObject({ code: "NODE_GATE_KERNEL" });
  const record = (await store.list(kindPrefix("WorkloadEndpoint"))).kvs[0]?.value ?? "";
  expect([record.includes("192.168.0.40"), record.includes('"profiles":["web"]')]).toEqual([false, true]);
  await attachment.detach(workload, signal);
});

test("many at once get different addresses, one by one for each container", async () => {
  const both = await Promise.allSettled([attach({ family: 4 }), attach({ family: 4 })]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  await attachment.detach(workload, signal);
  expect(await traces()).toEqual([]);
});
