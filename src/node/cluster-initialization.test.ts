/** What a node writes to the store when it starts, alone and with others, and what it leaves as it is. */
import { describe, expect, test } from "bun:test";
import { parseIpAddress } from "../base/addresses.ts";
import { TestClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { HostInterface } from "../kernel/host-interfaces.ts";
import { clusterInformationKey, ipPoolKey, nodeKey, resourceKey, tierKey } from "../model/keys.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { initializeCluster } from "./cluster-initialization.ts";
import type { HostSurroundings } from "./start-up/address-detection.ts";
import { readStartUp, type StartUpOptions } from "./start-up/calico-environment.ts";
import { chooseIpv4 } from "./start-up/default-pools.ts";
import type { Environment } from "./start-up/environment-words.ts";
import { LocalHost } from "./start-up/local-host.ts";
import { firstAddresses } from "./start-up/node-resource.ts";
import { OwnNode } from "./start-up/own-node.ts";

const { signal } = new AbortController();

function eth0(...addresses: string[]): HostInterface {
  const parsed = addresses.map((text) => {
    const [address = "", length = ""] = text.split("/");
    return { address: parseIpAddress(address), prefixLength: Number(length) };
  });
  return { index: 2, name: "eth0", addresses: parsed };
}

function around(...interfaces: HostInterface[]): HostSurroundings {
  return { interfaces: () => interfaces, resolve: async () => [], sourceAddressFor: () => undefined };
}

interface Start {
  readonly host: string;
  readonly options?: StartUpOptions;
  readonly env?: Environment;
  readonly surroundings?: HostSurroundings;
}

async function start(store: Store, { host, options = {}, env = {}, surroundings }: Start) {
  const startUp = readStartUp(options, env);
  const clock = new TestClock();
  return await initializeCluster({ store, clock, host, startUp, surroundings: surroundings ?? around(), signal });
}

async function specAt(store: Store, key: string) {
  return JSON.parse((await store.get(key))?.value ?? "{}").spec;
}

const openStore = () => openSqliteStore({ path: ":memory:", clock: new TestClock() });

describe("an empty store", () => {
  test("gets what Calico's own start-up writes, once, from however many hosts at once", async () => {
    await using store = await openStore();
    const all = [1, 2, 3].map((at) => start(store, { host: `host${at}`, options: { ip: `172.31.0.1${at}` } }));
    const guids = (await Promise.all(all)).map(({ cluster }) => cluster);
    expect(new Set(guids).size).toBe(1);
    expect(guids[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(await specAt(store, clusterInformationKey)).toMatchObject({ clusterType: "margay", datastoreReady: true });
    expect(await specAt(store, ipPoolKey("default-ipv4-ippool"))).toMatchObject({
      cidr: "192.168.0.0/16",
      natOutgoing: true,
      blockSize: 26,
      ipipMode: "Never",
      vxlanMode: "Never",
    });
    expect(await store.get(ipPoolKey("default-ipv6-ippool"))).toBeUndefined();
    expect(await specAt(store, tierKey("default"))).toMatchObject({ defaultAction: "Deny" });
    const felix = (name: string) => specAt(store, resourceKey({ kind: "FelixConfiguration", name }));
    expect(await felix("default")).toEqual({ reportingInterval: "0s", logSeverityScreen: "Info" });
    expect(await felix("node.host2")).toEqual({ defaultEndpointToHostAction: "Return" });
    expect((await specAt(store, nodeKey("host2"))).bgp).toEqual({ ipv4Address: "172.31.0.12/32" });
    const { revision } = await store.list("/");
    await start(store, { host: "host1", options: { ip: "172.31.0.11" } });
    expect((await store.list("/")).revision).toBe(revision); // nothing to write the second time
  });

  test("gets the pools that the variables ask for", async () => {
    await using store = await openStore();
    const env = {
      IP6: "fd00::11",
      CALICO_IPV4POOL_CIDR: "10.5.0.0/16",
      CALICO_IPV4POOL_BLOCK_SIZE: "28",
      CALICO_IPV4POOL_NAT_OUTGOING: "false",
      CALICO_IPV4POOL_NODE_SELECTOR: "rack == 'r1'",
      CALICO_IPV4POOL_DISABLE_BGP_EXPORT: "true",
      CALICO_IPV4POOL_IPIP: "Off",
      CALICO_IPV4POOL_VXLAN: "Never",
    };
    await start(store, { host: "h", options: { ip: "172.31.0.11" }, env });
    expect(await specAt(store, ipPoolKey("default-ipv4-ippool"))).toMatchObject({
      cidr: "10.5.0.0/16",
      blockSize: 28,
      natOutgoing: false,
      nodeSelector: "rack == 'r1'",
      disableBGPExport: true,
    });
    const ipv6 = await specAt(store, ipPoolKey("default-ipv6-ippool"));
    expect(ipv6.cidr).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/48$/);
    expect(ipv6).toMatchObject({ blockSize: 122, natOutgoing: false });
  });

  const noPool: readonly [name: string, options: StartUpOptions, env: Environment][] = [
    ["NO_DEFAULT_POOLS", {}, { NO_DEFAULT_POOLS: "true" }],
    ["--no-default-pools", { noDefaultPools: true }, {}],
    ["CIDR none", {}, { CALICO_IPV4POOL_CIDR: "none" }],
    ["--pool-cidr=none", { poolCidr: "none" }, { CALICO_IPV4POOL_CIDR: "10.0.0.0/16" }],
  ];
  for (const [name, options, env] of noPool) {
    test(`gets no pool with ${name}`, async () => {
      await using store = await openStore();
      await start(store, { host: "h", options: { ip: "172.31.0.11", ...options }, env });
      expect((await store.list("/calico/resources/v3/projectcalico.org/ippools/")).kvs).toEqual([]);
    });
  }

  test("a locked datastore stays locked, and existing pools are enough, a damaged one as well", async () => {
    await using store = await openStore();
    const options = { ip: "172.31.0.11", poolCidr: "10.5.0.0/16" };
    await start(store, { host: "host1", options, env: { CLUSTER_TYPE: "mesos, bgp" } });
    const info = JSON.parse((await store.get(clusterInformationKey))?.value ?? "");
    expect(info.spec.clusterType).toBe("margay,mesos,bgp");
    await store.put(clusterInformationKey, JSON.stringify({ ...info, spec: { ...info.spec, datastoreReady: false } }));
    await start(store, { host: "host1", options: { ip: "172.31.0.11" } });
    expect((await specAt(store, clusterInformationKey)).datastoreReady).toBe(false);
    expect((await specAt(store, ipPoolKey("default-ipv4-ippool"))).cidr).toBe("10.5.0.0/16");

    await using damaged = await openStore();
    await damaged.put(ipPoolKey("other"), "{");
    await start(damaged, { host: "host1", options: { ip: "172.31.0.11" } });
    expect(await damaged.get(ipPoolKey("default-ipv4-ippool"))).toBeUndefined();
  });
});

describe("the Node", () => {
  const addresses: readonly [name: string, start: Omit<Start, "host">, stored: object | undefined, bgp: object][] = [
    ["an address alone has its interface's prefix length", { options: { ip: "10.0.0.11" } }, undefined, ipv4(24)],
    [
      "of an interface that is away the Node knows it",
      { options: { ip: "10.9.9.9" } },
      { ipv4Address: "10.9.9.9/20" },
      { ipv4Address: "10.9.9.9/20" },
    ],
    ["a given prefix length counts", { options: { ip: "10.0.0.11/16" } }, undefined, ipv4(16)],
    ["IP counts where no option is given", { env: { IP: "10.0.0.11" } }, undefined, ipv4(24)],
    ["IP=autodetect finds it", { env: { IP: "autodetect" } }, { ipv4Address: "10.9.9.9/24" }, ipv4(24)],
    ["nothing given keeps what the Node says", {}, { ipv4Address: "10.9.9.9/24" }, { ipv4Address: "10.9.9.9/24" }],
    ["nothing given and nothing known finds it", {}, undefined, ipv4(24)],
    [
      "IP6 is found when asked for",
      { env: { IP6: "autodetect" } },
      undefined,
      { ...ipv4(24), ipv6Address: "2001:db8::11/64" },
    ],
    [
      "an IPv6 address others wrote stays",
      {},
      { ipv6Address: "fd00::1/64" },
      { ipv6Address: "fd00::1/64", ...ipv4(24) },
    ],
    ["IP6=none takes it away", { env: { IP6: "none" } }, { ipv6Address: "fd00::1/64" }, ipv4(24)],
    ["IP=none leaves IPv6", { env: { IP: "none", IP6: "fd00::1" } }, undefined, { ipv6Address: "fd00::1/128" }],
    ["AS is a number", { env: { AS: "1.10" } }, undefined, { ...ipv4(24), asNumber: 65_546 }],
  ];
  for (const [name, how, stored, bgp] of addresses) {
    test(name, async () => {
      await using store = await openStore();
      const surroundings = around(eth0("10.0.0.11/24", "2001:db8::11/64"));
      if (stored !== undefined) {
        const node = {
          kind: "Node",
          apiVersion: "projectcalico.org/v3",
          metadata: { name: "h" },
          spec: { bgp: stored },
        };
        await store.put(nodeKey("h"), JSON.stringify(node));
      }
      const { addresses: told } = await start(store, { host: "h", surroundings, ...how });
      const spec = await specAt(store, nodeKey("h"));
      expect(spec.bgp).toEqual(bgp);
      const texts = [told.ipv4, told.ipv6].flatMap((one) => (one ? `${one.address}/${one.prefixLength}` : []));
      expect(spec.addresses).toEqual(texts.map((address) => ({ address, type: "CalicoNodeIP" })));
      expect(spec.interfaces).toEqual([{ name: "eth0", addresses: ["10.0.0.11/24", "2001:db8::11/64"] }]);
    });
  }

  test("a host that moved tells its new address and keeps what others wrote on it", async () => {
    await using store = await openStore();
    await start(store, { host: "host1", options: { ip: "172.31.0.11" } });
    const node = JSON.parse((await store.get(nodeKey("host1")))?.value ?? "");
    node.metadata.labels = { rack: "r1" };
    node.spec.bgp.asNumber = 64512;
    node.spec.ipv4VXLANTunnelAddr = "192.168.7.1";
    node.spec.addresses.push({ address: "203.0.113.7", type: "ExternalIP" });
    await store.put(nodeKey("host1"), JSON.stringify(node));
    await start(store, { host: "host1", options: { ip: "172.31.0.21" } });
    const after = JSON.parse((await store.get(nodeKey("host1")))?.value ?? "");
    expect(after.metadata).toEqual(node.metadata);
    expect(after.spec).toEqual({
      ...node.spec,
      bgp: { asNumber: 64512, ipv4Address: "172.31.0.21/32" },
      addresses: [
        { address: "172.31.0.21/32", type: "CalicoNodeIP" },
        { address: "203.0.113.7", type: "ExternalIP" },
      ],
    });
  });

  test("a host that sees no address of its own starts with the one its Node says, and with none if it says none", async () => {
    await using store = await openStore();
    const { addresses } = readStartUp({}, {});
    const first = () => firstAddresses({ store, clock: new TestClock(), host: "h", addresses, surroundings: around() });
    await expect(first()).rejects.toThrow("no IPv4 address of this host fits first-found");
    await start(store, { host: "h", options: { ip: "10.0.0.11/24" } });
    expect((await first()).ipv4).toEqual({ address: parseIpAddress("10.0.0.11"), prefixLength: 24 });
  });

  test("a second host with the same address is refused, and named", async () => {
    await using store = await openStore();
    await start(store, { host: "host1", options: { ip: "172.31.0.11" } });
    await store.put(nodeKey("damaged"), "{");
    const second = { host: "host2", options: { ip: "172.31.0.11" } };
    await expect(start(store, second)).rejects.toThrow("host host1 already has the address 172.31.0.11");
    expect(await store.get(nodeKey("host2"))).toBeUndefined();
    await start(store, { ...second, env: { DISABLE_NODE_IP_CHECK: "true" } });
  });
});

describe("while the node runs", () => {
  async function running(env: Environment, interfaces: { now: HostInterface[] }, store: Store) {
    const clock = new TestClock();
    const surroundings = { ...around(), interfaces: () => interfaces.now };
    const startUp = readStartUp({}, env);
    const { addresses } = await initializeCluster({ store, clock, host: "h", startUp, surroundings, signal });
    const host = new LocalHost("h", addresses);
    const own = new OwnNode({ ...startUp, store, clock, host, surroundings, log: silentLog });
    const stop = new AbortController();
    const ended = own.run(stop.signal);
    return {
      clock,
      host,
      own,
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await ended;
      },
    };
  }

  test("an address that was found is looked for anew, and one that is lost meanwhile stays", async () => {
    await using store = await openStore();
    const interfaces = { now: [eth0("10.0.0.11/24")] };
    await using node = await running({ AUTODETECT_POLL_INTERVAL: "5s", IP: "autodetect" }, interfaces, store);
    interfaces.now = [];
    await node.clock.advance(6_000);
    expect(node.host.address as string).toBe("10.0.0.11");
    expect(node.own.lastError).toBeDefined();
    interfaces.now = [eth0("10.0.0.12/24")];
    await node.clock.advance(60_000);
    expect(node.own.lastError).toBeUndefined();
    expect(node.host.address as string).toBe("10.0.0.12");
    expect((await specAt(store, nodeKey("h"))).bgp).toEqual({ ipv4Address: "10.0.0.12/24" });
  });

  test("a Node that is deleted comes back, because the host still runs containers", async () => {
    await using store = await openStore();
    await using node = await running({ IP: "10.0.0.11/24" }, { now: [] }, store);
    await store.delete(nodeKey("h"));
    await node.clock.advance(120_000);
    expect(await store.get(nodeKey("h"))).toBeUndefined(); // nobody has told of it
    node.own.seen(nodeKey("other"), false);
    node.own.seen(nodeKey("h"), false);
    await node.clock.advance(1);
    expect((await specAt(store, nodeKey("h"))).bgp).toEqual({ ipv4Address: "10.0.0.11/24" });
  });
});

test("the default pool is not a range the host lives in", () => {
  const cases: readonly [taken: string[], pool: string][] = [
    [["172.31.0.11"], "192.168.0.0/16"],
    [["10.0.0.1", "192.168.1.5"], "172.16.0.0/16"],
    [["192.168.1.5", "172.16.0.1", "172.17.0.1"], "172.18.0.0/16"],
    [["fd00::1"], "192.168.0.0/16"],
  ];
  for (const [taken, pool] of cases) expect(chooseIpv4(taken.map((one) => parseIpAddress(one))) as string).toBe(pool);
});

function ipv4(length: number) {
  return { ipv4Address: `10.0.0.11/${length}` };
}
