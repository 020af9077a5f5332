/**
 * Several hosts, each with a Docker of its own that knows networks only, and one store: whatever users do on the hosts, and
 * whoever is away meanwhile, in the end all hosts have the same networks, those of the store, each with its profile.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { TestClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { kindPrefix, profileKey, workloadEndpointKey } from "../../../model/keys.ts";
import { decodeProfile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import { newWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import { openSqliteStore } from "../../../store/sqlite-store.ts";
import type { Store } from "../../../store/store.ts";
import { NETWORK_ANNOTATION } from "../endpoints/endpoint-names.ts";
import { DockerEngine } from "../engine/docker-engine.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { NetworkConfig, NetworkInspection } from "../engine/networks.ts";
import { NetworkDirectory } from "./network-directory.ts";
import { NETWORK_RECORDS_PREFIX, NetworkRecords } from "./network-records.ts";
import { type NetworkEngine, NetworkReplication } from "./network-replication.ts";

const { signal } = new AbortController();
let ids = 0;

class FakeDocker implements NetworkEngine {
  readonly all = new Map<string, NetworkInspection>();
  readonly inUse = new Set<string>();

  readonly networks = {
    list: async () => [...this.all.values()],
    create: async (config: NetworkConfig) => {
      if ([...this.all.values()].some(({ Name }) => Name === config.Name)) {
        throw new EngineError("DOCKER_REFUSED", 409, `network with name ${config.Name} already exists`);
      }
      ids += 1;
      const Id = ids.toString(16).padStart(64, "0");
      this.all.set(Id, {
        Id,
        Name: config.Name,
        Driver: config.Driver,
        Scope: "local",
        Internal: false,
        Attachable: false,
        EnableIPv6: config.EnableIPv6 ?? false,
        // As Docker shows a pool nobody asked for.
        IPAM: { Driver: config.IPAM?.Driver ?? "", Options: {}, Config: ipamOf(config) },
        Options: { ...config.Options },
        Labels: { ...config.Labels },
        Containers: {},
      });
      return { Id, Warning: "" };
    },
    remove: async (id: string) => {
      const network = this.all.get(id);
      if (network === undefined) return "absent" as const;
      if (this.inUse.has(network.Name)) throw new EngineError("DOCKER_REFUSED", 403, "has active endpoints");
      this.all.delete(id);
      return "removed" as const;
    },
  };

  idOf(name: string): string | undefined {
    return [...this.all.values()].find(({ Name }) => Name === name)?.Id;
  }

  names(): string {
    return [...this.all.values()]
      .map(({ Name, Options }) => `${Name}${Options.mtu ?? ""}`)
      .sort()
      .join(" ");
  }
}

function ipamOf(config: NetworkConfig): NetworkInspection["IPAM"]["Config"] {
  const subnets = config.IPAM?.Config?.map(({ Subnet }) => Subnet ?? "") ?? [];
  return (subnets.length === 0 ? ["0.0.0.0/0"] : subnets).map((Subnet) => ({
    Subnet,
    IPRange: "",
    Gateway: "0.0.0.0",
    AuxiliaryAddresses: {},
  }));
}

class Cluster implements AsyncDisposable {
  readonly hosts: { readonly docker: FakeDocker; replication: NetworkReplication }[] = [];
  readonly clock = new TestClock();
  store: Store;
  guid = "cluster-1";
  readonly #folder = mkdtempSync(join(tmpdir(), "margay-networks-"));

  private constructor(store: Store) {
    this.store = store;
  }

  static async of(count: number): Promise<Cluster> {
    const cluster = new Cluster(await openSqliteStore({ path: ":memory:", clock: new TestClock() }));
    for (let index = 0; index < count; index += 1) {
      const docker = new FakeDocker();
      cluster.hosts.push({ docker, replication: cluster.#replication(index, docker) });
    }
    return cluster;
  }

  docker(host: number): FakeDocker {
    const docker = this.hosts[host]?.docker;
    if (docker === undefined) throw new Error(`there is no host ${host}`);
    return docker;
  }

  /** A node that starts again: it knows what its files say. */
  restart(index: number): void {
    const host = this.hosts[index];
    if (host !== undefined) host.replication = this.#replication(index, host.docker);
  }

  async userCreates(host: number, name: string, options: Record<string, string> = {}): Promise<void> {
    const config = { Name: name, Driver: "calico", IPAM: { Driver: "calico" }, Options: options };
    await this.docker(host).networks.create(config).catch(ifRefused);
  }

  async userRemoves(host: number, name: string): Promise<void> {
    await this.docker(host)
      .networks.remove(this.docker(host).idOf(name) ?? "")
      .catch(ifRefused);
  }

  async startContainer(host: number, name: string): Promise<void> {
    this.docker(host).inUse.add(name);
    const endpoint = newWorkloadEndpoint(
      {
        namespace: "libnetwork",
        node: `host${host}`,
        orchestrator: "libnetwork",
        endpoint: `on${name}`,
        interfaceName: "cali1",
        addresses: [],
        profiles: [],
      },
      { uid: "u", nowMs: 0 },
    );
    const metadata = { ...endpoint.metadata, annotations: { [NETWORK_ANNOTATION]: name } };
    await this.store.put(workloadEndpointKey("libnetwork", metadata.name), encode({ ...endpoint, metadata }));
  }

  async stopContainer(host: number, name: string): Promise<void> {
    this.docker(host).inUse.delete(name);
    await this.store.delete(workloadEndpointKey("libnetwork", `host${host}-libnetwork-libnetwork-on${name}`));
  }

  async pass(host: number): Promise<void> {
    await this.hosts[host]?.replication.pass(signal);
  }

  /** Until a whole round changes nothing. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10; round += 1) {
      const before = await this.#picture();
      for (const host of this.hosts.keys()) await this.pass(host);
      if ((await this.#picture()) === before) return;
    }
    throw new Error(`no agreement after 10 rounds: ${await this.#picture()}`);
  }

  async recorded(): Promise<string> {
    const { kvs } = await this.store.list(NETWORK_RECORDS_PREFIX);
    return kvs
      .map(({ key }) => key.slice(NETWORK_RECORDS_PREFIX.length))
      .sort()
      .join(" ");
  }

  async profiles(): Promise<string> {
    const { kvs } = await this.store.list(kindPrefix("Profile"));
    return kvs
      .map(({ value }) => decodeProfile(value).metadata.name)
      .sort()
      .join(" ");
  }

  async emptyStore(): Promise<void> {
    await this.store.transact({ compare: [], success: [{ deletePrefix: "/" }] });
    this.guid = "cluster-2";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }

  #replication(index: number, docker: FakeDocker): NetworkReplication {
    const { store, clock } = this;
    // Never asked: names come from lists.
    const engine = new DockerEngine({ clock, socketPath: "/nowhere" });
    return new NetworkReplication({
      engine: docker,
      records: new NetworkRecords({ store, clock, log: silentLog, host: `host${index}`, createProfiles: true }),
      networks: new NetworkDirectory({ directory: join(this.#folder, String(index)), engine, log: silentLog }),
      cluster: async () => this.guid,
      log: silentLog,
    });
  }

  async #picture(): Promise<string> {
    return [await this.recorded(), ...this.hosts.map(({ docker }) => docker.names())].join(" | ");
  }
}

function ifRefused(error: unknown): void {
  if (!(error instanceof EngineError)) throw error;
}

test("a network appears everywhere with its profile, and goes everywhere with it", async () => {
  await using cluster = await Cluster.of(3);
  await cluster.userCreates(1, "net");
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["net", "net", "net"]);
  expect(await cluster.profiles()).toBe("net");
  await cluster.userRemoves(2, "net");
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["", "", ""]);
  expect([await cluster.recorded(), await cluster.profiles()]).toEqual(["", ""]);
});

test("a removal and a creation reach a host that was away", async () => {
  await using cluster = await Cluster.of(2);
  await cluster.userCreates(0, "old");
  await cluster.settle();
  await cluster.userRemoves(0, "old");
  await cluster.userCreates(0, "new");
  for (let turn = 0; turn < 3; turn += 1) await cluster.pass(0); // host 1 is away
  cluster.restart(1);
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["new", "new"]);
});

test("a network somebody uses comes back where it was removed", async () => {
  await using cluster = await Cluster.of(2);
  await cluster.userCreates(0, "net");
  await cluster.settle();
  await cluster.startContainer(1, "net");
  await cluster.userRemoves(0, "net");
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["net", "net"]);
  await cluster.stopContainer(1, "net");
  await cluster.userRemoves(0, "net");
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["", ""]);
});

test("an emptied store takes no network away, it is told of them again", async () => {
  await using cluster = await Cluster.of(2);
  await cluster.userCreates(0, "net");
  await cluster.settle();
  await cluster.emptyStore();
  await cluster.settle();
  expect(cluster.hosts.map(({ docker }) => docker.names())).toEqual(["net", "net"]);
  expect(await cluster.recorded()).toBe("net");
});

test("a profile that was edited stays when its network goes, and is not overwritten when it comes", async () => {
  await using cluster = await Cluster.of(1);
  await cluster.userCreates(0, "net");
  await cluster.settle();
  const stored = (await cluster.store.get(profileKey("net")))?.value ?? "";
  const edited = encode({ ...decodeProfile(stored), spec: { egress: [{ action: "Deny" }] } });
  await cluster.store.put(profileKey("net"), edited);
  await cluster.userRemoves(0, "net");
  await cluster.settle();
  await cluster.userCreates(0, "net");
  await cluster.settle();
  expect((await cluster.store.get(profileKey("net")))?.value).toBe(edited);
});

const hostIndex = fc.nat({ max: 2 });
const networkName = fc.constantFrom("a", "b");
const action = fc.oneof(
  fc.tuple(fc.constant("create" as const), hostIndex, networkName),
  fc.tuple(fc.constant("create-otherwise" as const), hostIndex, networkName),
  fc.tuple(fc.constant("remove" as const), hostIndex, networkName),
  fc.tuple(fc.constant("start" as const), hostIndex, networkName),
  fc.tuple(fc.constant("stop" as const), hostIndex, networkName),
  fc.tuple(fc.constant("pass" as const), hostIndex, networkName),
  fc.tuple(fc.constant("restart" as const), hostIndex, networkName),
);

async function act(cluster: Cluster, [what, host, name]: readonly [string, number, string]): Promise<void> {
  switch (what) {
    case "create":
      return await cluster.userCreates(host, name);
    case "create-otherwise":
      return await cluster.userCreates(host, name, { mtu: "1400" });
    case "remove":
      return await cluster.userRemoves(host, name);
    case "start":
      if (cluster.docker(host).idOf(name) !== undefined) await cluster.startContainer(host, name);
      return;
    case "stop":
      return await cluster.stopContainer(host, name);
    case "pass":
      return await cluster.pass(host);
    default:
      return cluster.restart(host);
  }
}

test("whatever happens on the hosts, they settle, agree with the store, and no container loses its network", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
      await using cluster = await Cluster.of(3);
      for (const step of actions) await act(cluster, step);
      for (const { docker } of cluster.hosts) {
        for (const name of docker.inUse) expect(docker.idOf(name)).toBeDefined();
      }
      await cluster.settle();
      const names = (text: string) => text.replaceAll(/\d+/g, "");
      for (const { docker } of cluster.hosts) {
        expect(names(docker.names())).toBe(await cluster.recorded());
        for (const name of docker.inUse) expect(docker.idOf(name)).toBeDefined();
      }
      const recorded = await cluster.recorded();
      for (const name of recorded.split(" ")) if (name !== "") expect(await cluster.profiles()).toContain(name);
    }),
    { numRuns: 60 },
  );
});
