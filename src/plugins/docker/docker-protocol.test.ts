/** The plug-in protocol as Docker speaks it: exact answers, bad requests, a container's life in every order of calls. */

import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { OperationError } from "../../base/errors.ts";
import { profileKey } from "../../model/keys.ts";
import { decodeProfile } from "../../model/profile.ts";
import { decodeWorkloadEndpoint } from "../../model/workload-endpoint.ts";
import { type CallResult, PluginFixture } from "./testing/plugin-fixture.ts";

const NETWORK = "5a8c".repeat(16);
const ENDPOINT = "9f21c0ffee1d".padEnd(64, "0");
const RECORD = `/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/host1-libnetwork-libnetwork-${ENDPOINT}`;
const calicoData = [{ AddressSpace: "CalicoGlobalAddressSpace", Pool: "0.0.0.0/0", Gateway: "0.0.0.0/0" }];

const network = (options: object, v4: object[] = calicoData, v6: object[] | null = null) => ({
  NetworkID: NETWORK,
  Options: { "com.docker.network.enable_ipv6": false, "com.docker.network.generic": {}, ...options },
  IPv4Data: v4,
  IPv6Data: v6,
});

const SUB_POOL_TEXT =
  "Calico IPAM does not support sub pool configuration on 'docker create network'. Calico IP Pools should be configured " +
  "first and IP assignment is from those pre-configured pools.";

/** Requests and the exact answers: reference/docker.md 2 to 4, T1 to T9. */
const table: readonly [what: string, call: string, body: unknown, status: number, answer: object][] = [
  ["handshake, no body", "Plugin.Activate", undefined, 200, { Implements: ["NetworkDriver", "IpamDriver"] }],
  ["scope", "NetworkDriver.GetCapabilities", undefined, 200, { Scope: "local", ConnectivityScope: "global" }],
  [
    "IPAM capabilities",
    "IpamDriver.GetCapabilities",
    undefined,
    200,
    { RequiresMACAddress: false, RequiresRequestReplay: false },
  ],
  [
    "one address space for both scopes",
    "IpamDriver.GetDefaultAddressSpaces",
    undefined,
    200,
    { LocalDefaultAddressSpace: "CalicoGlobalAddressSpace", GlobalDefaultAddressSpace: "CalicoGlobalAddressSpace" },
  ],
  ["unknown path", "NetworkDriver.Nonsense", {}, 404, { Err: 'Margay has no plug-in call "NetworkDriver.Nonsense"' }],
  ["plain create", "NetworkDriver.CreateNetwork", network({}), 200, {}],
  ["create on Engine 28", "NetworkDriver.CreateNetwork", network({ "com.docker.network.enable_ipv4": true }), 200, {}],
  [
    "T1 another IPAM driver",
    "NetworkDriver.CreateNetwork",
    network({}, [{ AddressSpace: "LocalDefault", Pool: "172.18.0.0/16", Gateway: "172.18.0.1/16" }]),
    500,
    { Err: "Non-Calico IPAM driver is used. Note: Docker before 1.12.3 is unsupported" },
  ],
  [
    "another IPAM driver, IPv6",
    "NetworkDriver.CreateNetwork",
    network({}, calicoData, [{ AddressSpace: "LocalDefault", Pool: "fd00::/64", Gateway: "fd00::1/64" }]),
    500,
    { Err: "Non-Calico IPAM driver is used" },
  ],
  [
    "T9 --ipv6",
    "NetworkDriver.CreateNetwork",
    network({}, calicoData, [{ Pool: "fd80::/48", Gateway: "::/0" }]),
    200,
    {},
  ],
  [
    "T5 --internal",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.internal": true }),
    500,
    { Err: "Calico driver does not support the flag --internal." },
  ],
  [
    "T8 one --opt",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.generic": { REJECT: "" } }),
    500,
    { Err: "Calico driver does not support the flag REJECT." },
  ],
  [
    "T8 two --opt",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.generic": { REJECT2: "", REJECT: "x" } }),
    500,
    { Err: "Calico driver does not support the flags REJECT, REJECT2." },
  ],
  [
    "an option with a value",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.thing": "v" }),
    500,
    { Err: "Calico driver does not support the flag com.docker.network.thing (v)." },
  ],
  [
    "the MTU option",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.generic": { "com.docker.network.driver.mtu": "1400" } }),
    200,
    {},
  ],
  [
    "an MTU that is none",
    "NetworkDriver.CreateNetwork",
    network({ "com.docker.network.generic": { "com.docker.network.driver.mtu": "big" } }),
    400,
    {
      Err: 'NetworkDriver.CreateNetwork: --opt com.docker.network.driver.mtu: "big" is no MTU (expected a number from 68 to 65535)',
    },
  ],
  [
    "pool without --subnet",
    "IpamDriver.RequestPool",
    { AddressSpace: "CalicoGlobalAddressSpace", Pool: "", SubPool: "", Options: null, V6: false },
    200,
    { PoolID: "CalicoPoolIPv4", Pool: "0.0.0.0/0", Data: { "com.docker.network.gateway": "0.0.0.0/0" } },
  ],
  [
    "T4 --subnet equal to a pool",
    "IpamDriver.RequestPool",
    { Pool: "192.168.0.0/16" },
    200,
    { PoolID: "192.168.0.0/16", Pool: "192.168.0.0/16", Data: { "com.docker.network.gateway": "0.0.0.0/0" } },
  ],
  [
    "T3 --subnet within a pool",
    "IpamDriver.RequestPool",
    { Pool: "192.168.3.0/24" },
    500,
    { Err: "The requested subnet must match the CIDR of a configured Calico IP Pool." },
  ],
  ["a subnet that is none", "IpamDriver.RequestPool", { Pool: "wrong/16" }, 500, { Err: "Invalid CIDR" }],
  [
    "T6 --ip-range",
    "IpamDriver.RequestPool",
    { Pool: "192.168.0.0/16", SubPool: "192.168.3.0/24" },
    500,
    { Err: SUB_POOL_TEXT },
  ],
  [
    "T7 --ipam-opt",
    "IpamDriver.RequestPool",
    { Options: { REJECT: "" } },
    500,
    { Err: "Arbitrary options are not supported" },
  ],
  [
    "--ipv6 without an IPv6 pool",
    "IpamDriver.RequestPool",
    { V6: true },
    500,
    { Err: "There is no enabled IPv6 Calico IP Pool. Create one before creating a network with --ipv6." },
  ],
  [
    "T2 --gateway",
    "IpamDriver.RequestAddress",
    { PoolID: "192.168.0.0/16", Address: "192.168.0.1", Options: { RequestAddressType: "com.docker.network.gateway" } },
    500,
    { Err: "Calico IPAM does not support specifying a gateway." },
  ],
  [
    "a pool that is gone",
    "IpamDriver.RequestAddress",
    { PoolID: "10.9.0.0/16", Address: "" },
    500,
    {
      Err: "The network references a Calico pool which has been deleted. Please re-instate the Calico pool before using the network.",
    },
  ],
  [
    "--ip outside of all pools",
    "IpamDriver.RequestAddress",
    { PoolID: "192.168.0.0/16", Address: "10.1.2.3" },
    500,
    { Err: "The address 10.1.2.3 is not in one of the configured Calico IP pools" },
  ],
  [
    "--ip, and options nobody knows",
    "IpamDriver.RequestAddress",
    { PoolID: "192.168.0.0/16", Address: "192.168.3.7", Options: { "com.docker.network.endpoint.name": "web" } },
    200,
    { Address: "192.168.3.7/32", Data: {} },
  ],
  [
    "the gateway mark comes back",
    "IpamDriver.ReleaseAddress",
    { PoolID: "CalicoPoolIPv4", Address: "0.0.0.0" },
    200,
    {},
  ],
  ["and for IPv6", "IpamDriver.ReleaseAddress", { PoolID: "CalicoPoolIPv6", Address: "::" }, 200, {}],
  [
    "an address nobody has",
    "IpamDriver.ReleaseAddress",
    { PoolID: "CalicoPoolIPv4", Address: "192.168.77.7" },
    200,
    {},
  ],
  ["any pool is released", "IpamDriver.ReleasePool", { PoolID: "whatever" }, 200, {}],
  [
    "an endpoint without address",
    "NetworkDriver.CreateEndpoint",
    { NetworkID: NETWORK, EndpointID: ENDPOINT, Interface: {} },
    500,
    { Err: "No address assigned for endpoint" },
  ],
  [
    "an address of no pool",
    "NetworkDriver.CreateEndpoint",
    { NetworkID: NETWORK, EndpointID: ENDPOINT, Interface: { Address: "10.1.2.3/32" } },
    500,
    { Err: "The provided IP address 10.1.2.3 is not in a configured pool" },
  ],
  [
    "a MAC that is none",
    "NetworkDriver.CreateEndpoint",
    { NetworkID: NETWORK, EndpointID: ENDPOINT, Interface: { Address: "192.168.9.9/32", MacAddress: "zz" } },
    500,
    { Err: "Error parsing MAC address: address zz: invalid MAC address" },
  ],
  ["Leave of nothing", "NetworkDriver.Leave", { NetworkID: NETWORK, EndpointID: ENDPOINT }, 200, {}],
  ["DeleteEndpoint of nothing", "NetworkDriver.DeleteEndpoint", { NetworkID: NETWORK, EndpointID: ENDPOINT }, 200, {}],
  ["DeleteNetwork of nothing", "NetworkDriver.DeleteNetwork", { NetworkID: NETWORK }, 200, {}],
  [
    "EndpointOperInfo",
    "NetworkDriver.EndpointOperInfo",
    { NetworkID: NETWORK, EndpointID: ENDPOINT },
    200,
    { Value: {} },
  ],
  ["discovery", "NetworkDriver.DiscoverNew", { DiscoveryType: 1, DiscoveryData: {} }, 200, {}],
];

describe("each call has its answer", () => {
  for (const [what, call, body, status, answer] of table) {
    test(`${what}: ${call}`, async () => {
      await using fixture = await PluginFixture.open();
      expect(await fixture.call(call, body)).toEqual({ status, body: answer } as CallResult);
    });
  }
});

describe("bad requests never hurt the server", () => {
  const bodies: readonly [string, string | undefined][] = [
    ["no body", undefined],
    ["an empty body", ""],
    ["no JSON", "{nonsense"],
    ["no object", "[1]"],
    ["a wrong type", '{"NetworkID":17,"EndpointID":"x"}'],
    ["an id that would become a path", '{"NetworkID":"../../etc","EndpointID":"../../../etc/passwd"}'],
    ["nothing of what is needed", "{}"],
  ];
  for (const [what, body] of bodies) {
    test(what, async () => {
      await using fixture = await PluginFixture.open();
      for (const call of ["CreateEndpoint", "Join", "Leave", "DeleteEndpoint", "CreateNetwork"]) {
        const { status, body: answer } = await fixture.call(`NetworkDriver.${call}`, body);
        expect(status).toBe(400);
        expect(String(answer.Err)).not.toBe("");
      }
      expect((await fixture.call("Plugin.Activate")).status).toBe(200);
      expect(await fixture.traces()).toEqual([]);
    });
  }

  test("the Host header of Docker before 24.0 is no host name and does no harm", async () => {
    await using fixture = await PluginFixture.open();
    const answer = Promise.withResolvers<string>();
    const socket = await Bun.connect({
      unix: fixture.socketPath,
      socket: {
        data: (_socket, bytes) => answer.resolve(bytes.toString()),
        close: () => answer.reject(new Error("closed without an answer")),
      },
    });
    socket.write(
      "POST /Plugin.Activate HTTP/1.1\r\nHost: %2Frun%2Fdocker%2Fplugins%2Fcalico.sock\r\nContent-Length: 0\r\n\r\n",
    );
    expect(await answer.promise).toContain('{"Implements":["NetworkDriver","IpamDriver"]}');
    socket.end();
  });

  test("GET is refused, an oversized body too", async () => {
    await using fixture = await PluginFixture.open();
    expect((await fixture.call("Plugin.Activate", undefined, { method: "GET" })).status).toBe(405);
    const large = await fetch("http://plugin/NetworkDriver.Join", {
      method: "POST",
      unix: fixture.socketPath,
      body: "x".repeat(2 * 1024 * 1024),
    }).then(
      (response) => response.status,
      () => "connection closed",
    );
    expect([413, "connection closed"]).toContain(large);
    expect((await fixture.call("Plugin.Activate")).status).toBe(200);
  });
});

/** Docker's order of calls for one container, up to its start. */
/** Every container has one of its own. */
const sandboxOf = (endpoint: string) => `/var/run/docker/netns/${endpoint.slice(-12)}`;

async function start(
  fixture: PluginFixture,
  endpoint = ENDPOINT,
  extra: object = {},
): Promise<{ address: string; create: CallResult; join: CallResult }> {
  fixture.dockerNetworks.set(NETWORK, "my-calico-net");
  const { body } = await fixture.call("IpamDriver.RequestAddress", {
    PoolID: "CalicoPoolIPv4",
    Address: "",
    Options: null,
  });
  const address = String(body.Address);
  const ids = { NetworkID: NETWORK, EndpointID: endpoint };
  const create = await fixture.call("NetworkDriver.CreateEndpoint", {
    ...ids,
    Interface: { Address: address, MacAddress: "" },
    Options: {},
    ...extra,
  });
  const join = await fixture.call("NetworkDriver.Join", {
    ...ids,
    SandboxKey: sandboxOf(endpoint),
    Options: {},
  });
  return { address, create, join };
}

describe("a container's life", () => {
  test("T10: record, profile, answers, and nothing left at the end", async () => {
    await using fixture = await PluginFixture.open();
    const { address, create, join } = await start(fixture);
    expect(create).toEqual({ status: 200, body: { Interface: { MacAddress: "EE:EE:EE:EE:EE:EE" } } });
    expect(join).toEqual({
      status: 200,
      body: {
        InterfaceName: { SrcName: "temp9f21c0ffee1", DstPrefix: "cali" },
        Gateway: "169.254.1.1",
        StaticRoutes: [{ Destination: "169.254.1.1/32", RouteType: 1, NextHop: "" }],
        DisableGatewayService: false,
      },
    });
    const record = decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "");
    expect(record.spec).toEqual({
      orchestrator: "libnetwork",
      workload: "libnetwork",
      node: "host1",
      endpoint: ENDPOINT,
      ipNetworks: [address],
      profiles: ["my-calico-net"],
      interfaceName: "cali9f21c0ffee1",
      mac: "ee:ee:ee:ee:ee:ee",
    });
    const profile = decodeProfile((await fixture.store.get(profileKey("my-calico-net")))?.value ?? "");
    expect(profile.spec.ingress).toEqual([{ action: "Allow", source: { selector: "has(my-calico-net)" } }]);
    expect(fixture.gateCalls).toEqual([RECORD]);
    expect(await fixture.ipam.lookup(address.split("/")[0] as never)).toMatchObject({ handle: ENDPOINT });

    const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    for (const call of ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint"])
      expect((await fixture.call(call, ids)).status).toBe(200);
    await fixture.call("IpamDriver.ReleaseAddress", { PoolID: "CalicoPoolIPv4", Address: address.split("/")[0] });
    expect(await fixture.traces()).toEqual([]);
  });

  test("the end of a container leaves nothing in whatever order, and however often, Docker tells of it", async () => {
    const calls = ["Leave", "DeleteEndpoint", "ReleaseAddress"] as const;
    const orders = calls.flatMap((a) => calls.flatMap((b) => calls.map((c) => [a, b, c] as const)));
    for (const order of orders.filter((order) => new Set(order).size === 3)) {
      for (const times of [1, 2]) {
        await using fixture = await PluginFixture.open();
        const { address } = await start(fixture);
        for (const call of order) {
          for (let time = 0; time < times; time += 1) {
            const result =
              call === "ReleaseAddress"
                ? await fixture.call("IpamDriver.ReleaseAddress", {
                    PoolID: "CalicoPoolIPv4",
                    Address: address.split("/")[0],
                  })
                : await fixture.call(`NetworkDriver.${call}`, { NetworkID: NETWORK, EndpointID: ENDPOINT });
            expect(result).toEqual({ status: 200, body: {} });
          }
        }
        // An address released while its container still had an interface is the reconciler's to free.
        const { signal } = new AbortController();
        await fixture.reconciler.pass(signal);
        const pending = fixture.repairs.filter((kind) => kind === "release-address");
        const leaveCameBeforeRelease = order.indexOf("Leave") < order.indexOf("ReleaseAddress");
        const deleteCameBeforeRelease = order.indexOf("DeleteEndpoint") < order.indexOf("ReleaseAddress");
        if (leaveCameBeforeRelease || deleteCameBeforeRelease) expect(pending).toEqual([]);
        expect(await fixture.traces()).toEqual([]);
      }
    }
  });

  test("CreateEndpoint and Join may come twice", async () => {
    await using fixture = await PluginFixture.open();
    const { address, join } = await start(fixture);
    const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    const again = await fixture.call("NetworkDriver.CreateEndpoint", {
      ...ids,
      Interface: { Address: address },
      Options: {},
    });
    expect(again.status).toBe(200);
    expect(await fixture.call("NetworkDriver.Join", { ...ids, SandboxKey: sandboxOf(ENDPOINT) })).toEqual(join);
  });

  test("an endpoint cannot take the address of another one", async () => {
    await using fixture = await PluginFixture.open();
    const { address } = await start(fixture);
    const other = "0".repeat(64);
    const { status } = await fixture.call("NetworkDriver.CreateEndpoint", {
      NetworkID: NETWORK,
      EndpointID: other,
      Interface: { Address: address },
    });
    expect(status).toBe(500);
    const request = { PoolID: "192.168.0.0/16", Address: address.split("/")[0] };
    expect((await fixture.call("IpamDriver.RequestAddress", request)).body.Err).toBe(
      `The address ${request.Address} is already in use`,
    );
  });

  test("--ip is free again for a restart, also when the former container died with the daemon", async () => {
    await using fixture = await PluginFixture.open();
    const { address } = await start(fixture);
    const request = { PoolID: "192.168.0.0/16", Address: address.split("/")[0] };
    fixture.links.clear(); // the namespace, and the veth with it, went with the daemon
    expect(await fixture.call("IpamDriver.RequestAddress", request)).toEqual({
      status: 200,
      body: { Address: address, Data: {} },
    });
    expect(await fixture.store.get(RECORD)).toBeUndefined();
  });

  test("D30: a Join that fails leaves no interface, and DeleteEndpoint and ReleaseAddress the rest", async () => {
    await using fixture = await PluginFixture.open();
    fixture.gateFails = "nft is broken";
    const { address, join } = await start(fixture);
    expect(join).toEqual({ status: 500, body: { Err: "nft is broken" } });
    expect(fixture.links.size).toBe(0);
    await fixture.call("NetworkDriver.DeleteEndpoint", { NetworkID: NETWORK, EndpointID: ENDPOINT });
    await fixture.call("IpamDriver.ReleaseAddress", { PoolID: "CalicoPoolIPv4", Address: address.split("/")[0] });
    expect(await fixture.traces()).toEqual([]);
  });

  test("Leave does not wait for the kernel to remove the interface, DeleteEndpoint does", async () => {
    await using fixture = await PluginFixture.open();
    await start(fixture);
    const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    const kernel = Promise.withResolvers<void>();
    fixture.beforeRemoval = () => kernel.promise;
    expect(await fixture.call("NetworkDriver.Leave", ids)).toEqual({ status: 200, body: {} });
    const deleted = fixture.call("NetworkDriver.DeleteEndpoint", ids);
    // Another call is answered meanwhile, and the endpoint is still all there.
    expect((await fixture.call("NetworkDriver.EndpointOperInfo", ids)).status).toBe(200);
    expect(fixture.links.size).toBe(2);
    expect(await fixture.store.get(RECORD)).toBeDefined();
    kernel.resolve();
    expect(await deleted).toEqual({ status: 200, body: {} });
    expect((await fixture.traces()).filter((trace) => !trace.startsWith("192.168."))).toEqual([]);
  });

  test("an interface that could not be removed at Leave is removed at DeleteEndpoint, or Docker hears why not", async () => {
    await using fixture = await PluginFixture.open();
    await start(fixture);
    const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    fixture.beforeRemoval = () => Promise.reject(new OperationError("KERNEL_EBUSY", "the kernel is busy"));
    expect((await fixture.call("NetworkDriver.Leave", ids)).status).toBe(200);
    expect(await fixture.call("NetworkDriver.DeleteEndpoint", ids)).toEqual({
      status: 500,
      body: { Err: "the kernel is busy" },
    });
    expect(await fixture.store.get(RECORD)).toBeDefined();
    fixture.beforeRemoval = () => Promise.resolve();
    expect((await fixture.call("NetworkDriver.DeleteEndpoint", ids)).status).toBe(200);
    expect(fixture.links.size).toBe(0);
  });

  test("D29: a veth left by a crash does not stop a Join", async () => {
    await using fixture = await PluginFixture.open();
    fixture.links.add("cali9f21c0ffee1");
    expect((await start(fixture)).join.status).toBe(200);
  });

  test("Join of an endpoint nobody created is refused", async () => {
    await using fixture = await PluginFixture.open();
    const { status, body } = await fixture.call("NetworkDriver.Join", {
      NetworkID: NETWORK,
      EndpointID: ENDPOINT,
      SandboxKey: "/x",
    });
    expect([status, body.Err]).toEqual([500, `Endpoint ${ENDPOINT} is not known: CreateEndpoint comes before Join`]);
  });

  test("T11: with a user's MAC the answer is empty and the record has it", async () => {
    await using fixture = await PluginFixture.open();
    const { body } = await fixture.call("IpamDriver.RequestAddress", { PoolID: "CalicoPoolIPv4" });
    const create = await fixture.call("NetworkDriver.CreateEndpoint", {
      NetworkID: NETWORK,
      EndpointID: ENDPOINT,
      Interface: { Address: body.Address, MacAddress: "00:22:33:44:55:66" },
    });
    expect(create.body).toEqual({ Interface: {} });
    expect(decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "").spec.mac).toBe("00:22:33:44:55:66");
  });

  test("labels handed over as driver options are on the record at once, others are not", async () => {
    await using fixture = await PluginFixture.open();
    await start(fixture, ENDPOINT, { Options: { "org.projectcalico.label.role": "web", not: "expected" } });
    expect(decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "").metadata.labels).toEqual({
      role: "web",
      "projectcalico.org/namespace": "libnetwork",
      "projectcalico.org/orchestrator": "libnetwork",
    });
  });

  test("a label that cannot be one refuses the endpoint and changes nothing", async () => {
    await using fixture = await PluginFixture.open();
    const { create } = await start(fixture, ENDPOINT, { Options: { "org.projectcalico.label.role": "not a label" } });
    expect(create.status).toBe(400);
    expect(String(create.body.Err)).toContain("label role");
    expect(await fixture.store.get(RECORD)).toBeUndefined();
  });

  test("a second network of one container gets another next hop", async () => {
    await using fixture = await PluginFixture.open();
    await start(fixture);
    const inSameSandbox = ENDPOINT.replace("9f", "a0");
    expect((await start(fixture, inSameSandbox)).join.body.Gateway).toBe("169.254.1.2");
    await fixture.call("NetworkDriver.Leave", { NetworkID: NETWORK, EndpointID: ENDPOINT });
    expect((await start(fixture, "2".repeat(64))).join.body.Gateway).toBe("169.254.1.1");
  });

  test("T15: without profiles none is made and none is named", async () => {
    await using fixture = await PluginFixture.open({ CALICO_LIBNETWORK_CREATE_PROFILES: "False" });
    await start(fixture);
    expect(decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "").spec.profiles).toEqual([]);
    expect(await fixture.store.get(profileKey("my-calico-net"))).toBeUndefined();
  });

  test("a network whose name Docker does not tell is closed, and opened once the name is known", async () => {
    await using fixture = await PluginFixture.open();
    const { body } = await fixture.call("IpamDriver.RequestAddress", { PoolID: "CalicoPoolIPv4" });
    const ids = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    expect(
      (await fixture.call("NetworkDriver.CreateEndpoint", { ...ids, Interface: { Address: body.Address } })).status,
    ).toBe(200);
    const closed = decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "");
    expect(closed.spec.profiles).toEqual([NETWORK]);
    expect(await fixture.store.get(profileKey(NETWORK))).toBeUndefined();
    const { signal } = new AbortController();
    expect(await fixture.registry.list(signal)).toEqual([
      { endpointId: ENDPOINT, networkResolved: false, hasSiblings: false },
    ]);
    await fixture.registry.setNetwork(ENDPOINT, "my-calico-net", signal);
    expect(decodeWorkloadEndpoint((await fixture.store.get(RECORD))?.value ?? "").spec.profiles).toEqual([
      "my-calico-net",
    ]);
    expect(await fixture.registry.list(signal)).toEqual([
      { endpointId: ENDPOINT, networkResolved: true, hasSiblings: false },
    ]);
  });

  test("auxiliary addresses stay taken until the network goes", async () => {
    await using fixture = await PluginFixture.open();
    const request = { PoolID: "192.168.0.0/16", Address: "192.168.0.9" };
    await fixture.call("IpamDriver.RequestAddress", request);
    const data = [{ ...calicoData[0], AuxAddresses: { printer: "192.168.0.9/32", scanner: "192.168.0.10/32" } }];
    expect((await fixture.call("NetworkDriver.CreateNetwork", network({}, data))).status).toBe(200);
    fixture.dockerNetworks.set(NETWORK, "net");
    await fixture.reconciler.pass(new AbortController().signal);
    expect(fixture.repairs).toEqual([]);
    expect((await fixture.ipam.listOwn("host1")).map(({ address, handle }) => `${address} ${handle}`).sort()).toEqual([
      `192.168.0.10 docker-host1-network-${NETWORK}`,
      `192.168.0.9 docker-host1-network-${NETWORK}`,
    ]);
    expect((await fixture.call("IpamDriver.RequestAddress", request)).body.Err).toBe(
      "The address 192.168.0.9 is already in use",
    );
    await fixture.call("IpamDriver.ReleaseAddress", { PoolID: "192.168.0.0/16", Address: "192.168.0.10" });
    await fixture.call("IpamDriver.ReleaseAddress", { PoolID: "192.168.0.0/16", Address: "192.168.0.9" });
    expect(await fixture.traces()).toEqual([]);
  });

  test("D40: 100 containers at once get 100 addresses", async () => {
    await using fixture = await PluginFixture.open();
    fixture.dockerNetworks.set(NETWORK, "my-calico-net");
    const started = await Promise.all(
      Array.from({ length: 100 }, (_, index) => start(fixture, String(index).padStart(64, "a"))),
    );
    expect(new Set(started.map(({ address }) => address)).size).toBe(100);
    expect(started.every(({ join }) => join.status === 200)).toBe(true);
  });
});

test("D50: a full pool is said so, and the pool a network names is the only one it uses", async () => {
  await using fixture = await PluginFixture.open();
  await fixture.addPool("tiny", "10.7.0.0/26");
  const take = () => fixture.call("IpamDriver.RequestAddress", { PoolID: "10.7.0.0/26", Address: "" });
  const taken = await Promise.all(Array.from({ length: 64 }, take));
  expect(taken.every(({ status }) => status === 200)).toBe(true);
  expect((await take()).body.Err).toBe("There are no available IP addresses in the configured Calico IP pools");
});

test("sockets are for root alone, replace what a crash left, and go at the end", async () => {
  let path: string;
  {
    await using fixture = await PluginFixture.open();
    path = fixture.socketPath;
    expect(statSync(path).mode & 0o777).toBe(0o600);
  }
  expect(existsSync(path)).toBe(false);
});
