/** A container joins and leaves networks, as Docker tells it, on a real store: what its endpoint records say of each other. */
import { expect, test } from "bun:test";
import { gatewayAddressesOf, siblingAddressesOf } from "../../../model/sibling-addresses.ts";
import { decodeWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import { HOST, PluginFixture } from "../testing/plugin-fixture.ts";
import { endpointKey } from "./endpoint-names.ts";

const { signal } = new AbortController();
const networks = { a: "a".repeat(64), z: "2".repeat(64) };
const endpoints = { a: "ea".padEnd(64, "0"), z: "e2".padEnd(64, "0") };
type Name = keyof typeof networks;
const idsOf = (name: Name) => ({ NetworkID: networks[name], EndpointID: endpoints[name] });

async function joins(fixture: PluginFixture, name: Name, sandbox = "/netns/1"): Promise<string> {
  fixture.dockerNetworks.set(networks[name], `${name}-net`);
  const { body } = await fixture.call("IpamDriver.RequestAddress", { PoolID: "CalicoPoolIPv4" });
  await fixture.call("NetworkDriver.CreateEndpoint", { ...idsOf(name), Interface: { Address: body.Address } });
  const joined = await fixture.call("NetworkDriver.Join", { ...idsOf(name), SandboxKey: sandbox });
  expect([joined.status, joined.body]).toMatchObject([200, {}]);
  const address = String(body.Address).split("/")[0] ?? "";
  fixture.attached.set(endpoints[name], { networkId: networks[name], address });
  return address;
}

async function says(fixture: PluginFixture, name: Name) {
  const stored = await fixture.store.get(endpointKey(HOST, endpoints[name]));
  const { metadata, spec } = decodeWorkloadEndpoint(stored?.value ?? "");
  return {
    profiles: spec.profiles,
    siblings: siblingAddressesOf(metadata.annotations) as readonly string[],
    gateway: gatewayAddressesOf(metadata.annotations) as readonly string[],
  };
}

const program = (fixture: PluginFixture, name: Name) =>
  fixture.call("NetworkDriver.ProgramExternalConnectivity", { ...idsOf(name), Options: {} });
const revoke = (fixture: PluginFixture, name: Name) =>
  fixture.call("NetworkDriver.RevokeExternalConnectivity", idsOf(name));

test("the second network's Join waits until both records are in force, and both speak of each other", async () => {
  await using fixture = await PluginFixture.open();
  const a = await joins(fixture, "a");
  await program(fixture, "a");
  expect(await says(fixture, "a")).toEqual({ profiles: ["a-net"], siblings: [], gateway: [] });
  fixture.gateCalls.length = 0;
  const z = await joins(fixture, "z");
  expect(fixture.gateCalls.toSorted()).toEqual([endpointKey(HOST, endpoints.a), endpointKey(HOST, endpoints.z)].sort());
  expect(await says(fixture, "a")).toEqual({ profiles: ["a-net", "z-net"], siblings: [z], gateway: [] });
  expect(await says(fixture, "z")).toEqual({ profiles: ["z-net", "a-net"], siblings: [a], gateway: [a] });
});

test("the default route moves with Docker's word, also when it is said twice", async () => {
  await using fixture = await PluginFixture.open();
  await joins(fixture, "z");
  await program(fixture, "z");
  const a = await joins(fixture, "a");
  await revoke(fixture, "z");
  for (let time = 0; time < 2; time++) expect((await program(fixture, "a")).status).toBe(200);
  expect(await says(fixture, "z")).toMatchObject({ gateway: [a] });
  expect(await says(fixture, "a")).toMatchObject({ gateway: [] });
  expect((await revoke(fixture, "a")).status).toBe(200);
  expect(await says(fixture, "z")).toMatchObject({ gateway: [] });
});

test("containers of other sandboxes are no siblings, and who leaves is none any more", async () => {
  await using fixture = await PluginFixture.open();
  await joins(fixture, "a");
  await joins(fixture, "z", "/netns/2");
  expect(await says(fixture, "a")).toEqual({ profiles: ["a-net"], siblings: [], gateway: [] });
  await fixture.call("NetworkDriver.Leave", idsOf("z"));
  await joins(fixture, "z", "/netns/1");
  expect(await says(fixture, "a")).toMatchObject({ profiles: ["a-net", "z-net"] });
  await fixture.call("NetworkDriver.Leave", idsOf("z"));
  expect(await says(fixture, "a")).toEqual({ profiles: ["a-net"], siblings: [], gateway: [] });
});

test("a Leave that was lost, and a record that lost what it said, are made good", async () => {
  await using fixture = await PluginFixture.open();
  const a = await joins(fixture, "a");
  const z = await joins(fixture, "z");
  const key = endpointKey(HOST, endpoints.a);
  const before = await says(fixture, "a");
  const record = decodeWorkloadEndpoint((await fixture.store.get(key))?.value ?? "");
  const forgetful = {
    ...record,
    metadata: { ...record.metadata, annotations: { "margay.io/docker-network": "a-net" } },
    spec: { ...record.spec, profiles: ["a-net"] },
  };
  await fixture.store.put(key, JSON.stringify(forgetful));
  await fixture.reconciler.pass(signal);
  expect(fixture.repairs).toEqual(["relate-siblings"]);
  expect(await says(fixture, "a")).toEqual(before);
  expect(before).toEqual({ profiles: ["a-net", "z-net"], siblings: [z], gateway: [] });
  expect(await says(fixture, "z")).toMatchObject({ siblings: [a] });

  fixture.attached.delete(endpoints.z); // gone without a word
  await fixture.reconciler.pass(signal);
  await fixture.reconciler.pass(signal);
  expect(await says(fixture, "a")).toEqual({ profiles: ["a-net"], siblings: [], gateway: [] });
  expect(fixture.repairs).toContain("remove-record");
});
