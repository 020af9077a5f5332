/**
 * The plug-in's drivers on a real socket and a real (in-memory) store, with a kernel that is a list of names and a Docker that
 * knows names of networks only: what the protocol's unit tests need. The fake kernel refuses what the real one refuses.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cidr, parseCidr, parseIpAddress } from "../../../base/addresses.ts";
import { systemClock } from "../../../base/clock.ts";
import { OperationError } from "../../../base/errors.ts";
import { silentLog } from "../../../base/log.ts";
import { GarbageCollector } from "../../../ipam/garbage-collector.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { newIpPool, type Pool } from "../../../model/ip-pool.ts";
import { kindPrefix } from "../../../model/keys.ts";
import { encode } from "../../../model/resource.ts";
import { initializeCluster } from "../../../node/cluster-initialization.ts";
import { readStartUp } from "../../../node/start-up/calico-environment.ts";
import { localSurroundings } from "../../../node/start-up/host-surroundings.ts";
import { openSqliteStore } from "../../../store/sqlite-store.ts";
import type { Store } from "../../../store/store.ts";
import { type DriverSettings, readDriverSettings } from "../driver-settings.ts";
import { hostInterfaceName } from "../endpoints/endpoint-names.ts";
import { EndpointReconciler } from "../endpoints/endpoint-reconciler.ts";
import { EndpointRegistry } from "../endpoints/endpoint-registry.ts";
import { endpointState, isStarting } from "../endpoints/endpoint-state.ts";
import { SiblingRecords } from "../endpoints/sibling-records.ts";
import { DockerEngine } from "../engine/docker-engine.ts";
import { IpamDriver } from "../ipam-driver.ts";
import { KeyedLocks } from "../keyed-locks.ts";
import { NetworkDriver } from "../network-driver.ts";
import { NetworkDirectory } from "../networks/network-directory.ts";
import { NetworkRecords } from "../networks/network-records.ts";
import { bodyless, PluginServer } from "../plugin-server.ts";
import { StateFiles } from "../state-files.ts";

export const HOST = "host1";

export interface CallResult {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export class PluginFixture implements AsyncDisposable {
  readonly store: Store;
  readonly ipam: Ipam;
  readonly registry: EndpointRegistry;
  readonly endpoints: StateFiles<typeof endpointState>;
  readonly links = new Set<string>();
  /** Networks Docker knows, id to name. */
  readonly dockerNetworks = new Map<string, string>();
  /** Endpoints Docker knows by EndpointID, and containers by id with their labels. */
  readonly attached = new Map<string, { readonly networkId: string; readonly address: string }>();
  readonly containers = new Map<string, { readonly endpointId: string; readonly labels: Record<string, string> }>();
  /** False: Docker cannot be asked, as while it boots. */
  dockerAnswers = true;
  readonly engine: DockerEngine;
  readonly reconciler: EndpointReconciler;
  readonly repairs: string[] = [];
  gateFails: string | undefined;
  /** Awaited before an interface is removed. */
  beforeRemoval: () => Promise<void> = () => Promise.resolve();
  readonly gateCalls: string[] = [];
  readonly #directory: string;
  readonly #settings: DriverSettings;
  readonly #pools: () => Promise<readonly Pool[]>;
  readonly #server: PluginServer;
  readonly #docker: ReturnType<typeof Bun.serve>;

  private constructor(
    store: Store,
    directory: string,
    settings: DriverSettings,
    pools: () => Promise<readonly Pool[]>,
  ) {
    this.store = store;
    this.#directory = directory;
    this.#settings = settings;
    this.#pools = pools;
    this.#docker = Bun.serve({
      unix: join(directory, "docker.sock"),
      fetch: (request) => this.#answerAsDocker(new URL(request.url).pathname),
    });
    const engine = new DockerEngine({ clock: systemClock, socketPath: join(directory, "docker.sock") });
    this.engine = engine;
    const locks = new KeyedLocks();
    const { createProfiles } = settings;
    const records = new NetworkRecords({ store, clock: systemClock, log: silentLog, host: HOST, createProfiles });
    this.ipam = new Ipam({ store, clock: systemClock });
    this.registry = new EndpointRegistry({
      host: HOST,
      store,
      ipam: this.ipam,
      clock: systemClock,
      log: silentLog,
      createProfiles,
      ensureProfile: (network, signal) => records.ensureProfile(network, signal),
      mayLive: (endpointId, signal) =>
        locks.run(
          endpointId,
          signal,
          async () => isStarting(this.endpoints.get(endpointId)) || this.links.has(hostInterfaceName(endpointId)),
        ),
    });
    this.endpoints = StateFiles.open(join(directory, "endpoints"), endpointState, silentLog);
    const siblings = new SiblingRecords({ host: HOST, store, withProfiles: createProfiles });
    const networks = new NetworkDirectory({ directory: join(directory, "networks"), engine, log: silentLog });
    const removeVeth = async (hostName: string) => {
      await this.beforeRemoval();
      this.links.delete(hostName);
      this.links.delete(hostName.replace(/^cali/, "temp"));
    };
    const garbage = new GarbageCollector({
      store,
      ipam: this.ipam,
      host: HOST,
      graceMs: 0,
      clock: systemClock,
      onAddressReleased: () => this.repairs.push("release-address"),
      onUpkeep: () => {},
    });
    this.reconciler = new EndpointReconciler({
      host: HOST,
      engine,
      registry: this.registry,
      siblings,
      garbage,
      networks,
      endpoints: this.endpoints,
      links: { removeVeth, linkExists: async (name) => this.links.has(name) },
      locks,
      graceMs: 0,
      clock: systemClock,
      log: silentLog,
      onRepair: (kind) => this.repairs.push(kind),
    });
    const driver = new NetworkDriver({
      settings,
      registry: this.registry,
      siblings,
      networks,
      endpoints: this.endpoints,
      links: {
        createVeth: async ({ hostName, containerName }) => {
          if (this.links.has(hostName)) throw new OperationError("KERNEL_EXISTS", `${hostName} exists`);
          this.links.add(hostName);
          this.links.add(containerName);
        },
        removeVeth,
        linkLocalAddress: async () => parseIpAddress("fe80::1"),
      },
      gate: async (key) => {
        this.gateCalls.push(key);
        if (this.gateFails !== undefined) throw new OperationError("NODE_GATE_KERNEL", this.gateFails);
      },
      locks,
      onEndpointCreated: () => {},
      onStep: () => {},
      clock: systemClock,
      log: silentLog,
    });
    const ipamDriver = new IpamDriver({ registry: this.registry, pools, clock: systemClock });
    this.#server = PluginServer.listen({
      socketPath: join(directory, "calico.sock"),
      calls: {
        "Plugin.Activate": bodyless(() => ({ Implements: ["NetworkDriver", "IpamDriver"] })),
        ...driver.calls(),
        ...ipamDriver.calls(),
      },
      clock: systemClock,
      log: silentLog,
      callTimeoutMs: 2_000,
    });
  }

  static async open(env: Readonly<Record<string, string>> = {}): Promise<PluginFixture> {
    const store = await openSqliteStore({ path: ":memory:", clock: systemClock });
    const ipam = new Ipam({ store, clock: systemClock });
    await initializeCluster({
      store,
      clock: systemClock,
      host: HOST,
      startUp: readStartUp({ ip: "172.31.0.11" }, {}),
      surroundings: localSurroundings,
      signal: new AbortController().signal,
    });
    const directory = mkdtempSync(join(tmpdir(), "margay-plugin-"));
    return new PluginFixture(store, directory, readDriverSettings(env), () => ipam.pools());
  }

  /** The node is killed and started again, on the same store, state files, kernel and Docker. This one is not to be used any more. */
  async restarted(): Promise<PluginFixture> {
    await this.#stop();
    const next = new PluginFixture(this.store, this.#directory, this.#settings, this.#pools);
    for (const name of this.links) next.links.add(name);
    for (const [id, name] of this.dockerNetworks) next.dockerNetworks.set(id, name);
    for (const [id, endpoint] of this.attached) next.attached.set(id, endpoint);
    return next;
  }

  get socketPath(): string {
    return join(this.#directory, "calico.sock");
  }

  async call(name: string, body?: unknown, init: RequestInit = {}): Promise<CallResult> {
    const request: BunFetchRequestInit = { method: "POST", unix: this.socketPath, ...init };
    if (body !== undefined) request.body = typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`http://plugin/${name}`, request);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async addPool(name: string, cidr: string): Promise<Cidr> {
    const pool = newIpPool({ name, cidr: parseCidr(cidr) }, { uid: name, nowMs: 0 });
    await this.store.put(`${kindPrefix("IPPool")}${name}`, encode(pool));
    return parseCidr(cidr);
  }

  /** What is left of endpoints in the store: records, handles and allocated addresses; sorted, for comparison. */
  async traces(): Promise<readonly string[]> {
    const { kvs } = await this.store.list("/calico/");
    const records = kvs.flatMap(({ key }) =>
      key.includes("/workloadendpoints/") || key.includes("/handle/") ? [key] : [],
    );
    const held = (await this.ipam.listOwn(HOST)).map(({ address, handle }) => `${address} ${handle}`);
    return [...records, ...held, ...this.links, ...this.endpoints.entries().keys()].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.store[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true });
  }

  async #stop(): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#docker.stop(true);
  }

  #answerAsDocker(path: string): Response {
    if (!this.dockerAnswers) return Response.json({ message: "booting" }, { status: 503 });
    if (path === "/_ping") return new Response("OK", { headers: { "Api-Version": "1.41" } });
    const [, kind = "", id = ""] = /^\/v1\.41\/(\w+)(?:\/([^/]+))?/.exec(path) ?? [];
    if (kind === "networks" && id === "") {
      return Response.json([...this.dockerNetworks.keys()].map((networkId) => this.#network(networkId)));
    }
    if (kind === "networks" && this.dockerNetworks.has(id)) return Response.json(this.#network(id));
    const container = kind === "containers" ? this.containers.get(id) : undefined;
    if (container === undefined) return Response.json({ message: `${id} not found` }, { status: 404 });
    return Response.json({
      Id: id,
      Name: "/c",
      State: {},
      Config: { Labels: container.labels },
      NetworkSettings: { Networks: { net: { EndpointID: container.endpointId } } },
    });
  }

  #network(id: string): object {
    const own = [...this.attached].filter(([, { networkId }]) => networkId === id);
    const containerOf = (endpointId: string) =>
      [...this.containers].find(([, container]) => container.endpointId === endpointId)?.[0] ?? `ep-${endpointId}`;
    const Containers = Object.fromEntries(
      own.map(([EndpointID, { address }]) => [containerOf(EndpointID), { EndpointID, IPv4Address: `${address}/32` }]),
    );
    return {
      Id: id,
      Name: this.dockerNetworks.get(id),
      Driver: "calico",
      IPAM: { Driver: "calico", Config: [] },
      Containers,
    };
  }
}
