/**
 * plugins/docker/ connects Docker's containers: network driver `calico`, IPAM drivers `calico` and `calico-ipam`.
 * - The sockets answer from the first moment, store or no store: Docker waits for them when it boots.
 * - Docker's calls are the fast path; the reconcilers are the sure one. Whatever a lost call or a crash leaves behind is put
 *   right from what Docker and the store say, never from memory alone, and never while one of them cannot be asked.
 * - What belongs to other orchestrators on the host is not looked at.
 * Absent on purpose: policy and kernel work (node/ does that and says when it is done), starting containers, swarm.
 */
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import { TaskScope } from "../../base/task-scope.ts";
import { GarbageCollector } from "../../ipam/garbage-collector.ts";
import type { Ipam } from "../../ipam/ipam.ts";
import { profileKey } from "../../model/keys.ts";
import type { NodeAgent } from "../../node/agent.ts";
import { linkLocalAddress } from "../../node/link-local-address.ts";
import type { Store } from "../../store/store.ts";
import { WatchedPrefix } from "../../store/watched-prefix.ts";
import type { DriverSettings } from "./driver-settings.ts";
import { EndpointLabelling } from "./endpoints/endpoint-labelling.ts";
import { hostInterfaceName } from "./endpoints/endpoint-names.ts";
import { EndpointReconciler } from "./endpoints/endpoint-reconciler.ts";
import { EndpointRegistry } from "./endpoints/endpoint-registry.ts";
import { endpointState, isStarting } from "./endpoints/endpoint-state.ts";
import { SiblingRecords } from "./endpoints/sibling-records.ts";
import type { DockerEngine } from "./engine/docker-engine.ts";
import { IpamDriver } from "./ipam-driver.ts";
import { KeyedLocks } from "./keyed-locks.ts";
import { NetworkDriver } from "./network-driver.ts";
import { NetworkDirectory } from "./networks/network-directory.ts";
import { profileNameOf } from "./networks/network-profile.ts";
import { NETWORK_RECORDS_PREFIX, NetworkRecords } from "./networks/network-records.ts";
import { NetworkReplication } from "./networks/network-replication.ts";
import { bodyless, type PluginCalls, PluginServer } from "./plugin-server.ts";
import type { PoolMemory } from "./pool-memory.ts";
import { StateFiles } from "./state-files.ts";

const RECONCILE_EVERY_MS = 60_000;
const RETRY = { minMs: 200, maxMs: 10_000 };

export interface DockerPluginOptions {
  readonly agent: NodeAgent;
  readonly store: Store;
  /** That of the whole process, which knows what is set aside. */
  readonly ipam: Ipam;
  readonly engine: DockerEngine;
  readonly pools: PoolMemory;
  readonly settings: DriverSettings;
  readonly pluginDir: string;
  readonly stateDir: string;
  /** How long something must be orphaned before it is removed. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class DockerPlugin implements AsyncDisposable {
  readonly #servers: readonly PluginServer[];
  readonly #scope: TaskScope;

  private constructor(servers: readonly PluginServer[], scope: TaskScope) {
    this.#servers = servers;
    this.#scope = scope;
  }

  /** Both sockets listen when this returns; everything else goes on in the background until the plug-in is disposed of. */
  static start(options: DockerPluginOptions): DockerPlugin {
    const parts = partsOf(options);
    return new DockerPlugin(listen(options, parts), runInBackground(options, parts));
  }

  /** Rejects when a background task broke. */
  get finished(): Promise<void> {
    return this.#scope.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Sockets first: Docker must not wait for a plug-in that no longer answers.
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
    await this.#scope[Symbol.asyncDispose]();
  }
}

function messageOf(error: unknown): string | null {
  return error === undefined ? null : error instanceof Error ? error.message : String(error);
}

type Parts = ReturnType<typeof partsOf>;

/** Everything of the plug-in, put together; nothing runs yet. */
function partsOf(options: DockerPluginOptions) {
  const { agent, store, engine, settings, stateDir, graceMs, clock, log } = options;
  const { metrics, dataplane } = agent;
  const host = agent.host.name;
  const cluster = (signal: AbortSignal) => agent.cluster(signal);
  const locks = new KeyedLocks();
  const endpoints = StateFiles.open(join(stateDir, "docker", "endpoints"), endpointState, log);
  const networks = new NetworkDirectory({ directory: join(stateDir, "docker", "networks"), engine, log });
  const { createProfiles } = settings;
  const records = new NetworkRecords({ store, clock, log, host, createProfiles });
  const registry = new EndpointRegistry({
    host,
    store,
    ipam: options.ipam,
    clock,
    log,
    createProfiles,
    ensureProfile: async (network, signal) => {
      if (!agent.view.hasProfile(profileKey(profileNameOf(network)))) await records.ensureProfile(network, signal);
    },
    mayLive: (endpointId, signal) =>
      locks.run(
        endpointId,
        signal,
        async () => isStarting(endpoints.get(endpointId)) || dataplane.linkExists(hostInterfaceName(endpointId)),
      ),
  });
  const siblings = new SiblingRecords({ host, store, withProfiles: createProfiles });
  const replication = new NetworkReplication({ engine, records, networks, cluster, log });
  const labelling = new EndpointLabelling({
    engine,
    setLabels: (endpointId, labels, signal) => registry.setLabels(endpointId, labels, signal),
    waitMs: settings.labelWaitMs,
    clock,
    log,
  });
  const garbage = new GarbageCollector({
    store,
    ipam: options.ipam,
    host,
    graceMs,
    clock,
    onAddressReleased: ({ address, handle }) => {
      log.warn({ event: "docker_address_repaired", address, handle }, "an address nobody came for is given back");
      metrics.repaired.inc({ kind: "release-address" });
    },
    onUpkeep: () => {},
  });
  const reconciler = new EndpointReconciler({
    host,
    garbage,
    engine,
    registry,
    siblings,
    networks,
    endpoints,
    links: dataplane,
    locks,
    graceMs,
    clock,
    log,
    onRepair: (kind) => metrics.repaired.inc({ kind }),
  });
  const driver = new NetworkDriver({
    settings,
    registry,
    siblings,
    networks,
    endpoints,
    links: {
      createVeth: (request) => dataplane.createVeth(request),
      removeVeth: (name) => dataplane.removeVeth(name),
      linkLocalAddress,
    },
    gate: (key, revision, signal) => agent.programmed(key, revision, signal),
    locks,
    onEndpointCreated: (endpointId, networkId) => {
      if (settings.labelEndpoints) labelling.expect(endpointId, networkId);
    },
    onStep: (step, startedMs) =>
      metrics.endpointStepSeconds.observe({ step }, (clock.monotonicMs() - startedMs) / 1_000),
    clock,
    log,
  });
  const ipam = new IpamDriver({ registry, pools: (signal) => options.pools.pools(signal), clock });
  return { networks, replication, labelling, reconciler, driver, ipam };
}

function listen(options: DockerPluginOptions, { driver, ipam }: Parts): readonly PluginServer[] {
  const { clock, log } = options;
  const { metrics } = options.agent;
  const serve = (name: string, interfaces: readonly string[], calls: PluginCalls) =>
    PluginServer.listen({
      socketPath: join(options.pluginDir, `${name}.sock`),
      calls: { "Plugin.Activate": bodyless(() => ({ Implements: interfaces })), ...calls },
      clock,
      log,
      onCall: (call, outcome, durationMs) => metrics.pluginCallSeconds.observe({ call, outcome }, durationMs / 1_000),
    });
  return [
    // One process behind both, and both drivers on the first: see reference/docker.md 2.6.
    serve("calico", ["NetworkDriver", "IpamDriver"], { ...driver.calls(), ...ipam.calls() }),
    serve("calico-ipam", ["IpamDriver"], ipam.calls()),
  ];
}

/** What puts right, replicates, labels and listens, until the scope is disposed of. */
function runInBackground(options: DockerPluginOptions, parts: Parts): TaskScope {
  const { store, engine, graceMs, clock, log } = options;
  const { health, api } = options.agent;
  const { networks, replication, labelling, reconciler } = parts;
  const scope = new TaskScope("docker plug-in");
  const networkLoop = new Reconciler({
    name: "docker-networks",
    clock,
    log,
    pass: (signal) => replication.pass(signal),
    resyncEveryMs: RECONCILE_EVERY_MS,
    retry: RETRY,
  });
  const endpointLoop = new Reconciler({
    name: "docker-endpoints",
    clock,
    log,
    pass: (signal) => reconciler.pass(signal),
    resyncEveryMs: Math.min(RECONCILE_EVERY_MS, graceMs),
    retry: RETRY,
  });
  health.register("DockerNetworks", { detail: "sockets listen" });
  health.report("DockerNetworks", { ready: true });
  api.addStatus("docker", () => ({
    networks: networks.known(),
    ...replication.status(),
    ...reconciler.status(),
    lastNetworkError: messageOf(networkLoop.lastError),
    lastEndpointError: messageOf(endpointLoop.lastError),
  }));
  const watched = new WatchedPrefix({
    store,
    prefix: NETWORK_RECORDS_PREFIX,
    clock,
    log,
    onChange: () => networkLoop.poke(),
    onInSync: () => networkLoop.poke(),
  });
  scope.run("network records", (signal) => watched.run(signal));
  scope.run("networks", (signal) => networkLoop.run(signal));
  scope.run("endpoints", (signal) => endpointLoop.run(signal));
  scope.run("labels", (signal) => labelling.run(signal));
  scope.run("events", async (signal) => {
    let away = false;
    for await (const heard of engine.events.follow({ signal, filters: { type: ["network"] } })) {
      if (heard.kind === "disconnected") {
        if (!away) log.info({ event: "docker_away", reason: heard.reason });
        health.report("DockerNetworks", { detail: `sockets listen; ${heard.reason}` });
        away = true;
        continue;
      }
      if (heard.kind === "connected") {
        away = false;
        health.report("DockerNetworks", { detail: "sockets listen, Docker answers" });
        networkLoop.poke();
        endpointLoop.poke();
        continue;
      }
      const { action, attributes } = heard.event;
      if (action === "create" || action === "destroy" || action === "remove") networkLoop.poke();
      if (action === "connect") labelling.onConnected(attributes.container ?? "");
    }
  });
  return scope;
}
