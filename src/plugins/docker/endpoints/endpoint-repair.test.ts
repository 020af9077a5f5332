/** Lost calls and crashes on a real store, put right: what reconciliation-plan.ts decides, carried out. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { systemClock, TestClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { decodeWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import { PluginFixture } from "../testing/plugin-fixture.ts";
import { EndpointLabelling } from "./endpoint-labelling.ts";

const NETWORK = "5a8c".repeat(16);
const ENDPOINT = "9f21c0ffee1d".padEnd(64, "0");
const RECORD = `/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/host1-libnetwork-libnetwork-${ENDPOINT}`;
const { signal } = new AbortController();

/** A running container: Docker, store and kernel agree. */
async function start(fixture: PluginFixture): Promise<string> {
  fixture.dockerNetworks.set(NETWORK, "net");
  const { body } = await fixture.call("IpamDriver.RequestAddress", { PoolID: "CalicoPoolIPv4" });
  const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
  await fixture.call("NetworkDriver.CreateEndpoint", { ...ids, Interface: { Address: body.Address } });
  expect((await fixture.call("NetworkDriver.Join", { ...ids, SandboxKey: "/netns/1" })).status).toBe(200);
  const address = String(body.Address).split("/")[0] ?? "";
  fixture.attached.set(ENDPOINT, { networkId: NETWORK, address });
  return address;
}

async function repair(fixture: PluginFixture): Promise<void> {
  await fixture.reconciler.pass(signal); // sees what is orphaned
  await fixture.reconciler.pass(signal); // acts on what still is, with no grace here
}

test("a healthy container is left alone", async () => {
  await using fixture = await PluginFixture.open();
  await start(fixture);
  const before = await fixture.traces();
  await repair(fixture);
  expect(fixture.repairs).toEqual([]);
  expect(await fixture.traces()).toEqual(before);
});

test("a container that went without a word leaves nothing", async () => {
  await using fixture = await PluginFixture.open();
  await start(fixture);
  fixture.attached.clear();
  await repair(fixture);
  expect(await fixture.traces()).toEqual([]);
});

test("an address that an older version reserved for a container that never came is given back", async () => {
  await using fixture = await PluginFixture.open();
  const address = parseIpAddress("192.168.0.9");
  const attributes = { orchestrator: "libnetwork" };
  const handle = `docker-host1-pending-${address}`;
  await fixture.ipam.assignAddress({ host: "host1", family: 4, address, handle, attributes });
  await repair(fixture);
  expect(await fixture.traces()).toEqual([]);
});

test("an address whose record somebody deleted goes with its container, and not before", async () => {
  await using fixture = await PluginFixture.open();
  const address = await start(fixture);
  fixture.attached.clear();
  await fixture.store.delete(RECORD);
  await fixture.reconciler.pass(signal); // the link is what is left of the container: it goes first
  expect(await fixture.ipam.lookup(address as never)).toMatchObject({ handle: ENDPOINT });
  await fixture.reconciler.pass(signal);
  expect(await fixture.traces()).toEqual([]);
});

test("an address that any endpoint of the cluster claims stays, whatever Docker says", async () => {
  await using fixture = await PluginFixture.open();
  const address = await start(fixture);
  const record = decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "");
  const other = RECORD.replace("host1-libnetwork-", "host2-libnetwork-");
  await fixture.store.put(other, JSON.stringify({ ...record, spec: { ...record.spec, node: "host2" } }));
  await fixture.store.delete(RECORD);
  fixture.attached.clear();
  await repair(fixture);
  await repair(fixture);
  expect(await fixture.ipam.lookup(address as never)).toMatchObject({ handle: ENDPOINT });
  await fixture.store.put(other, `broken ${address}`);
  await repair(fixture);
  expect(await fixture.ipam.lookup(address as never)).toMatchObject({ handle: ENDPOINT });
  await fixture.store.delete(other);
  await repair(fixture);
  expect(await fixture.ipam.lookup(address as never)).toBeUndefined();
});

test("a lost record is written again from what Docker says", async () => {
  await using fixture = await PluginFixture.open();
  const address = await start(fixture);
  await fixture.store.delete(RECORD);
  await repair(fixture);
  const record = decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "");
  expect(record.spec).toMatchObject({
    ipNetworks: [`${address}/32`],
    profiles: ["net"],
    interfaceName: "cali9f21c0ffee1",
  });
});

test("a record whose address was lost too gets it back, unless it is somebody else's by now", async () => {
  await using fixture = await PluginFixture.open();
  const address = await start(fixture);
  await fixture.store.delete(RECORD);
  await fixture.ipam.releaseByHandle(ENDPOINT);
  await repair(fixture);
  expect(await fixture.ipam.lookup(address as never)).toMatchObject({ handle: ENDPOINT });
  await fixture.store.delete(RECORD);
  await fixture.ipam.releaseByHandle(ENDPOINT);
  await fixture.ipam.assignAddress({ host: "host1", family: 4, address: address as never, handle: "somebody" });
  await repair(fixture);
  expect(await fixture.store.get(RECORD)).toBeUndefined();
  expect(await fixture.ipam.lookup(address as never)).toMatchObject({ handle: "somebody" });
});

test("while Docker cannot be asked nothing is touched", async () => {
  await using fixture = await PluginFixture.open();
  await start(fixture);
  const before = await fixture.traces();
  fixture.dockerAnswers = false;
  for (let turn = 0; turn < 3; turn += 1) await expect(fixture.reconciler.pass(signal)).rejects.toThrow("booting");
  expect(fixture.repairs).toEqual([]);
  expect(await fixture.traces()).toEqual(before);
});

test("endpoints, handles and interfaces of other orchestrators are not touched", async () => {
  await using fixture = await PluginFixture.open();
  await start(fixture);
  const others = [
    "/calico/resources/v3/projectcalico.org/workloadendpoints/default/host1-cni-abc-eth0",
    "/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/host1--2-libnetwork-libnetwork-abc",
  ];
  const record = decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "");
  for (const [at, key] of others.entries()) {
    const spec = {
      ...record.spec,
      node: at === 0 ? "host1" : "host1-2",
      orchestrator: at === 0 ? "cni" : "libnetwork",
    };
    await fixture.store.put(key, JSON.stringify({ ...record, spec }));
  }
  await fixture.ipam.assignAddress({ host: "host1", family: 4, handle: "cni.abc" });
  const { store } = fixture;
  const nodeKey = "/calico/resources/v3/projectcalico.org/nodes/host1";
  const other = "host1-pending-x";
  await store.put(
    nodeKey.replace("host1", other),
    ((await store.get(nodeKey))?.value ?? "").replaceAll("host1", other),
  );
  await fixture.ipam.assignAddress({ host: other, family: 4, handle: `docker-${other}-pending-10.0.0.1` });
  fixture.links.add("caliabc");
  const before = await fixture.traces();
  await repair(fixture);
  expect(await fixture.traces()).toEqual(before);
});

test("labels of a container are on its endpoint soon after its start, and only those with the prefix", async () => {
  await using fixture = await PluginFixture.open();
  await start(fixture);
  fixture.containers.set("c1", {
    endpointId: ENDPOINT,
    labels: { "org.projectcalico.label.foo": "bar", "org.projectcalico.label.bad": "no label", not: "expected" },
  });
  const stop = new AbortController();
  const labelled = Promise.withResolvers<void>();
  const labelling = new EndpointLabelling({
    engine: fixture.engine,
    setLabels: async (endpointId, labels) => {
      await fixture.registry.setLabels(endpointId, labels, signal);
      labelled.resolve();
    },
    waitMs: 5_000,
    clock: systemClock,
    log: silentLog,
  });
  const running = labelling.run(stop.signal);
  labelling.expect(ENDPOINT, NETWORK);
  labelling.onConnected("c1");
  await labelled.promise;
  stop.abort();
  await running;
  expect(decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "").metadata.labels).toEqual({
    foo: "bar",
    "projectcalico.org/namespace": "libnetwork",
    "projectcalico.org/orchestrator": "libnetwork",
  });
});

test("looking for labels ends with its time", async () => {
  await using fixture = await PluginFixture.open();
  const clock = new TestClock();
  const stop = new AbortController();
  let asked = 0;
  const labelling = new EndpointLabelling({
    engine: fixture.engine,
    setLabels: async () => {
      asked += 1;
    },
    waitMs: 500,
    clock,
    log: silentLog,
  });
  labelling.expect(ENDPOINT, NETWORK);
  const running = labelling.run(stop.signal);
  while (clock.pendingCount > 0 || clock.monotonicMs() < 1_000) {
    await clock.advance(100);
    await systemClock.sleep(1);
  }
  stop.abort();
  await running;
  expect(asked).toBe(0);
});
