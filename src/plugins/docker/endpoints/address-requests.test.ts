/** Between RequestAddress and CreateEndpoint an address is the host's secret: what each end of that moment leaves. */

import { expect, test } from "bun:test";
import { type IpAddress, parseIpAddress } from "../../../base/addresses.ts";
import { systemClock } from "../../../base/clock.ts";
import { OperationError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import type { Store } from "../../../store/store.ts";
import { type CallResult, HOST, PluginFixture } from "../testing/plugin-fixture.ts";
import { endpointKey } from "./endpoint-names.ts";

const NETWORK = "5a8c".repeat(16);
const ENDPOINT = "9f21c0ffee1d".padEnd(64, "0");
const OTHER_ENDPOINT = "ab".repeat(32);
const V4 = "192.168.0.0/16";

async function request(fixture: PluginFixture, address = "", pool = V4): Promise<CallResult> {
  return await fixture.call("IpamDriver.RequestAddress", { PoolID: pool, Address: address });
}

async function requested(fixture: PluginFixture): Promise<IpAddress> {
  return parseIpAddress(String((await request(fixture)).body.Address).split("/")[0] ?? "");
}

async function create(fixture: PluginFixture, address: string, endpoint = ENDPOINT, more = {}): Promise<CallResult> {
  const ids = { NetworkID: NETWORK, EndpointID: endpoint };
  return await fixture.call("NetworkDriver.CreateEndpoint", { ...ids, Interface: { Address: address, ...more } });
}

async function release(fixture: PluginFixture, address: string): Promise<CallResult> {
  return await fixture.call("IpamDriver.ReleaseAddress", { PoolID: V4, Address: address });
}

async function open(): Promise<PluginFixture> {
  const fixture = await PluginFixture.open();
  fixture.dockerNetworks.set(NETWORK, "net");
  return fixture;
}

/** How often the store was written since. */
async function writes(store: Store, during: () => Promise<unknown>): Promise<number> {
  const before = (await store.list("/")).revision;
  await during();
  return (await store.list("/")).revision - before;
}

test("a container's address, handle and record are one transaction, and their end is one", async () => {
  await using fixture = await open();
  await create(fixture, await requested(fixture)); // block and profile are there now
  let address = "";
  expect(
    await writes(fixture.store, async () => {
      address = await requested(fixture);
      await create(fixture, address, OTHER_ENDPOINT);
    }),
  ).toBe(1);
  expect(
    await writes(fixture.store, async () => {
      await fixture.call("NetworkDriver.DeleteEndpoint", { NetworkID: NETWORK, EndpointID: OTHER_ENDPOINT });
      await release(fixture, address);
    }),
  ).toBe(1);
});

test("an address that Docker gives back without having used it is free at once", async () => {
  await using fixture = await open();
  expect(await request(fixture, "192.168.0.9")).toMatchObject({ status: 200 });
  expect((await request(fixture, "192.168.0.9")).body.Err).toBe("The address 192.168.0.9 is already in use");
  expect(await release(fixture, "192.168.0.9")).toEqual({ status: 200, body: {} });
  expect(await request(fixture, "192.168.0.9")).toMatchObject({ status: 200 });
  expect(await fixture.traces()).toEqual([]);
});

test("a node that is killed between the two calls still assigns what Docker was told", async () => {
  const before = await open();
  const address = await requested(before);
  await using fixture = await before.restarted();
  expect((await create(fixture, address)).status).toBe(200);
  expect(await fixture.ipam.lookup(address)).toMatchObject({ handle: ENDPOINT, attributes: { node: HOST } });
});

test("an address that another program took in between is refused, nothing is left, and the next one works", async () => {
  await using fixture = await open();
  const address = await requested(fixture);
  const other = new Ipam({ store: fixture.store, clock: systemClock });
  expect(await other.assignAddress({ host: HOST, family: 4, handle: "other" })).toBe(address);
  const { status, body } = await create(fixture, address);
  expect(status).toBe(500);
  expect(String(body.Err)).toMatch(/^An address that was free when it was asked for has been taken by others since: /);
  await release(fixture, address);
  expect(await fixture.ipam.lookup(address)).toMatchObject({ handle: "other" });
  expect(await fixture.store.get(endpointKey(HOST, ENDPOINT))).toBeUndefined();
  expect((await create(fixture, await requested(fixture))).status).toBe(200);
});

test("of two families both are assigned or none", async () => {
  await using fixture = await open();
  await fixture.addPool("v6", "fd00::/64");
  const v4 = await requested(fixture);
  const v6 = String((await request(fixture, "", "CalicoPoolIPv6")).body.Address);
  const other = new Ipam({ store: fixture.store, clock: systemClock });
  await other.assignAddress({ host: HOST, family: 6, handle: "other" });
  expect((await create(fixture, v4, ENDPOINT, { AddressIPv6: v6 })).status).toBe(500);
  expect((await fixture.ipam.listHeld()).map(({ handle }) => handle)).toEqual(["other"]);
  const free = String((await request(fixture, "", "CalicoPoolIPv6")).body.Address);
  expect((await create(fixture, v4, ENDPOINT, { AddressIPv6: free })).status).toBe(200);
  expect((await fixture.ipam.addressesOfHandle(ENDPOINT)).length).toBe(2);
});

test("--ip of a container that is about to join is not taken from it", async () => {
  await using fixture = await open();
  await request(fixture, "192.168.0.9");
  await create(fixture, "192.168.0.9");
  expect((await request(fixture, "192.168.0.9")).body.Err).toBe("The address 192.168.0.9 is already in use");
  expect((await create(fixture, "192.168.0.9", OTHER_ENDPOINT)).status).toBe(500);
  expect(await fixture.ipam.lookup(parseIpAddress("192.168.0.9"))).toMatchObject({ handle: ENDPOINT });
  expect(fixture.endpoints.get(OTHER_ENDPOINT)).toBeUndefined();
});

test("who asks for the --ip of a container that joins or leaves waits for the end of that", async () => {
  await using fixture = await open();
  const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
  await request(fixture, "192.168.0.9");
  await create(fixture, "192.168.0.9");
  const making = Promise.withResolvers<void>();
  fixture.beforeRemoval = () => making.promise; // what a crash may have left goes before the interface is made
  const joined = fixture.call("NetworkDriver.Join", { ...ids, SandboxKey: "/netns/1" });
  const early = request(fixture, "192.168.0.9");
  making.resolve();
  expect((await joined).status).toBe(200);
  expect((await early).body.Err).toBe("The address 192.168.0.9 is already in use");
  const removing = Promise.withResolvers<void>();
  fixture.beforeRemoval = () => removing.promise;
  await fixture.call("NetworkDriver.Leave", ids);
  const late = request(fixture, "192.168.0.9");
  removing.resolve();
  expect((await late).status).toBe(200);
  expect(await fixture.store.get(endpointKey(HOST, ENDPOINT))).toBeUndefined();
});

test("an assignment whose answer was lost is undone when Docker gives the address back", async () => {
  await using fixture = await open();
  const address = await requested(fixture);
  const { store } = fixture;
  const { transact } = store;
  store.transact = async (...given) => {
    const outcome = await transact.apply(store, given);
    const key = endpointKey(HOST, ENDPOINT);
    if (!given[0].success.some((operation) => "put" in operation && operation.put === key)) return outcome;
    throw new OperationError("STORE_UNAVAILABLE", "the connection was lost");
  };
  expect((await create(fixture, address)).status).toBe(500);
  store.transact = transact;
  expect(await fixture.ipam.lookup(address)).toMatchObject({ handle: ENDPOINT });
  await release(fixture, address);
  expect(await fixture.traces()).toEqual([]);
});
