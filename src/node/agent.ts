/**
 * node/ is the host agent: it turns what the store says into what this host's kernel does, and says how it stands.
 * - Everything the rest of the program wants of the host goes through here: the policy gate, veths, pools, status.
 * - It may be killed at any instruction: the kernel goes on enforcing, and the next process reads everything back.
 * - It starts without the store and without Docker; what needs them waits with a reason a user can read.
 * Absent on purpose: who makes endpoints (plugins/), what policy means (policy/), how the kernel is spoken to (kernel/).
 */
import { Backoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { describeError, OperationError } from "../base/errors.ts";
import type { Log, LogFailures } from "../base/log.ts";
import { orAborted } from "../base/or-aborted.ts";
import { TaskScope } from "../base/task-scope.ts";
import { KnownDocuments } from "../ipam/known-documents.ts";
import type { FelixConfigurationSpec } from "../model/felix-fields.ts";
import type { Pool } from "../model/ip-pool.ts";
import { check } from "../model/resource.ts";
import { PolicyCalculator } from "../policy/policy-calculator.ts";
import type { KeyValue, Store } from "../store/store.ts";
import { type AgentSettings, agentSettings } from "./agent-settings.ts";
import { ClusterCounts } from "./cluster-counts.ts";
import { registerGauges } from "./cluster-gauges.ts";
import { initializeCluster } from "./cluster-initialization.ts";
import { ClusterView } from "./cluster-view.ts";
import { CountedSink } from "./counted-sink.ts";
import { Dataplane } from "./dataplane/dataplane.ts";
import { Enforcement } from "./enforcement.ts";
import { answerRequests } from "./explain/explain-channel.ts";
import { type KernelAnswer, KernelQuestion } from "./explain/kernel-answer.ts";
import { askLocalKernel } from "./explain/local-kernel.ts";
import { HealthBoard } from "./health-board.ts";
import { NodeApi } from "./node-api.ts";
import { NodeMetrics } from "./node-metrics.ts";
import { NodeServers } from "./node-servers.ts";
import { migratePolicyNames } from "./policy-migration.ts";
import type { HostSurroundings } from "./start-up/address-detection.ts";
import type { StartUpSettings } from "./start-up/calico-environment.ts";
import type { LocalHost } from "./start-up/local-host.ts";
import { OwnNode } from "./start-up/own-node.ts";
import { StatusReports } from "./status/status-reports.ts";

const COLLECT_AFTER_MS = 1_000;
const INITIALIZATION_RETRY = { minMs: 200, maxMs: 5_000 };

export interface NodeAgentOptions {
  readonly host: LocalHost;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly logFailures: LogFailures;
  readonly startUp: StartUpSettings;
  readonly surroundings: HostSurroundings;
  /** Of file, environment and command line, weakest first: stronger than FelixConfiguration in the store. */
  readonly localSettings: readonly FelixConfigurationSpec[];
  /** Unix socket of the node's own API. */
  readonly apiSocketPath: string;
  /** Policies stored under the names of older releases get those of 3.32. */
  readonly migratePolicies: boolean;
  /** The cluster has been reached, and this host's Node is in it. */
  readonly onInitialized: () => void;
  /** Told once what the datastore says is known, and after each change. */
  readonly onSettings: (settings: AgentSettings) => void;
  /** Told after each change, once everything was told at first. */
  readonly onPoolsChange: (pools: readonly Pool[]) => void;
}

export class NodeAgent implements AsyncDisposable {
  readonly health: HealthBoard;
  readonly metrics: NodeMetrics;
  readonly api: NodeApi;
  readonly dataplane: Dataplane;
  readonly view: ClusterView;
  /** Of the address plan, from the same watch. */
  readonly known: KnownDocuments;
  readonly #options: NodeAgentOptions;
  readonly #calculator: PolicyCalculator;
  readonly #enforcement: Enforcement;
  readonly #servers: NodeServers;
  readonly #status: StatusReports;
  readonly #counts = new ClusterCounts();
  readonly #ownNode: OwnNode;
  readonly #scope = new TaskScope("node");
  readonly #cluster = Promise.withResolvers<string>();
  readonly #startedMs: number;
  #settings: AgentSettings;
  #settingsFrom: FelixConfigurationSpec;
  #everApplied = false;
  #changes = 0;

  private constructor(options: NodeAgentOptions, dataplane: Dataplane, metrics: NodeMetrics) {
    const { clock, log, host, store } = options;
    this.metrics = metrics;
    this.#options = options;
    this.#startedMs = clock.monotonicMs();
    this.dataplane = dataplane;
    this.view = new ClusterView({
      log,
      onPoolsChange: (pools) => {
        if (this.#enforcement.inSync) options.onPoolsChange(pools);
      },
    });
    this.known = new KnownDocuments({ host: host.name, isCurrent: () => this.#enforcement.inSync });
    this.health = new HealthBoard(clock);
    this.health.register("NodeStartup", { detail: "waiting for the datastore" });
    const sink = new CountedSink(dataplane);
    this.#calculator = new PolicyCalculator({ host: host.name, sink, localSettings: options.localSettings });
    this.#settingsFrom = this.#calculator.configuration;
    this.#settings = agentSettings(this.#settingsFrom);
    this.#enforcement = this.#enforce();
    this.#ownNode = new OwnNode({ ...options, ...options.startUp });
    this.#status = new StatusReports({
      store,
      clock,
      log,
      host: host.name,
      settings: () => this.#settings,
      stateOf: (key) => dataplane.standing.stateOf(key),
      ready: () => this.#everApplied,
    });
    this.#servers = new NodeServers({ board: this.health, metrics: this.metrics, log });
    this.api = NodeApi.listen(options.apiSocketPath);
    this.metrics.resyncState.set(1);
    this.metrics.resyncsStarted.inc();
    registerGauges(metrics.registry, {
      host: host.name,
      cluster: this.#counts,
      local: () => this.#calculator.counts,
      labelIndex: () => this.#calculator.memberIndex,
      told: sink.counts,
      dataplane: dataplane.counters,
      objects: () => dataplane.standing.objectCounts,
      logFailures: options.logFailures,
    });
  }

  static async start(options: NodeAgentOptions): Promise<NodeAgent> {
    const { host, clock, log } = options;
    let agent: NodeAgent | undefined;
    const onNeedsApply = () => {
      if (agent !== undefined) agent.#enforcement.poke();
    };
    const { resolve } = options.surroundings;
    const metrics = new NodeMetrics();
    const onMeasured = metrics.measured;
    const dataplane = await Dataplane.open({ clock, log, host, resolve, onNeedsApply, onMeasured });
    agent = new NodeAgent(options, dataplane, metrics);
    try {
      await agent.#servers.start(agent.#settings);
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
    agent.#run();
    return agent;
  }

  get host(): LocalHost {
    return this.#options.host;
  }

  /** The cluster's GUID, once the store has told it. */
  async cluster(signal: AbortSignal): Promise<string> {
    try {
      return await orAborted(this.#cluster.promise, signal);
    } catch (cause) {
      throw new OperationError("NODE_NOT_INITIALIZED", "the datastore has not been reached yet", {
        retry: "backoff",
        cause,
      });
    }
  }

  /** See Enforcement.programmed. */
  async programmed(key: string, revision: number, signal: AbortSignal): Promise<void> {
    await this.#enforcement.programmed(key, revision, signal);
    const problem = this.dataplane.standing.problemOf(key);
    if (problem === undefined) return;
    throw new OperationError("NODE_GATE_KERNEL", `the endpoint's policy is not in force: ${problem}`, {
      retry: "backoff",
    });
  }

  /** Rejects when a part of the node broke in a way only a restart mends. */
  get finished(): Promise<void> {
    return this.#scope.finished;
  }

  /** The kernel goes on enforcing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    this.#status[Symbol.dispose]();
    await this.api[Symbol.asyncDispose]();
    await this.#servers[Symbol.asyncDispose]();
    await this.dataplane.close();
  }

  #enforce(): Enforcement {
    const { clock, store, log, onPoolsChange } = this.#options;
    const { metrics } = this;
    return new Enforcement({
      store,
      calculator: this.#calculator,
      dataplane: this.dataplane,
      clock,
      log,
      health: this.health,
      isLocked: () => this.view.locked,
      onChange: (key, value, known) => this.#onChange(key, value, known),
      onUpdate: (durationMs) => metrics.updateSeconds.observe(durationMs / 1_000),
      onResync: () => {
        metrics.resyncState.set(2);
        metrics.resyncsStarted.inc();
      },
      onInSync: () => {
        metrics.resyncState.set(3);
        onPoolsChange(this.view.pools());
      },
      onPass: (durationMs, failed) => this.#onPass(durationMs, failed),
    });
  }

  #onChange(key: string, value: KeyValue | undefined, known: boolean): void {
    this.view.update(key, value);
    this.known.seen(key, value);
    this.#ownNode.seen(key, value !== undefined);
    this.#status.update(key, value);
    this.#counts.update(key, value !== undefined, known);
    this.#changes += 1;
  }

  #onPass(durationMs: number, failed: boolean): void {
    const { metrics } = this;
    metrics.applySeconds.observe(durationMs / 1_000);
    metrics.batchSize.observe(this.#changes);
    this.#changes = 0;
    const first = !failed && !this.#everApplied;
    if (failed) metrics.applyFailures.inc();
    else this.#status.applied();
    if (first) metrics.initialResyncSeconds.set((this.#options.clock.monotonicMs() - this.#startedMs) / 1_000);
    this.#everApplied ||= first;
    if (first || this.#calculator.configuration !== this.#settingsFrom) this.#followSettings();
    if (first) this.#scope.run("collection", (signal) => this.#collect(signal));
  }

  /**
   * The first listing leaves garbage for which the engine would keep its memory until it collects by itself. This takes some
   * 30 ms with a hundred thousand endpoints, so not while others may be waiting for the first pass.
   */
  async #collect(signal: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(COLLECT_AFTER_MS, signal);
    Bun.gc(true);
  }

  /** What the configuration says to the agent itself is done at once; nothing needs a restart. */
  #followSettings(): void {
    this.#settingsFrom = this.#calculator.configuration;
    this.#settings = agentSettings(this.#settingsFrom);
    this.metrics.processMetrics = this.#settings.processMetrics;
    this.health.setTimeouts(this.#settings.healthTimeoutsMs);
    this.#options.onSettings(this.#settings);
    this.#scope.run("ports", () => this.#servers.follow(this.#settings));
  }

  #run(): void {
    const { host } = this.#options;
    this.api.addStatus("node", () => ({
      name: host.name,
      address: host.address,
      ...ownNodeProblem(this.#ownNode),
      ...this.#enforcement.status(),
    }));
    this.api.addStatus("reports", () => this.#status.status());
    this.api.addStatus("health", () => this.health.summary().components);
    this.api.addStatus("dataplane", () => ({
      ...this.dataplane.counters,
      lastApplyMs: this.dataplane.lastApplyTimings,
      unreachableBlocks: Object.fromEntries(this.dataplane.standing.unreachableBlocks),
      metadataProblem: this.dataplane.metadataProblem ?? null,
      bandwidthNotLimited: Object.fromEntries(this.dataplane.standing.bandwidthProblems),
    }));
    this.api.addQuestion("/v1/explain", (body) => this.#explain(check(KernelQuestion, body, "question")));
    this.#scope.run("explain", (signal) =>
      answerRequests({ ...this.#options, host: host.name, answer: (question) => this.#explain(question) }, signal),
    );
    this.#scope.run("initialization", (signal) => this.#initialize(signal));
    this.#scope.run("watch", (signal) => this.#enforcement.watch(signal));
    this.#scope.run("converge", (signal) => this.#enforcement.converge(signal));
    this.#status.run(this.#scope);
  }

  /** What this host's kernel does with a packet, and whether this node is up to date. */
  #explain(question: KernelQuestion): KernelAnswer {
    const { ready, components } = this.health.summary();
    const notReady = Object.entries(components).flatMap(([name, state]) =>
      state.ready ? [] : [`${name}: ${state.detail}`],
    );
    const node = { ready, notReady, revision: this.#enforcement.revision };
    return { ...askLocalKernel(this.#options.host.name, question), node };
  }

  async #initialize(signal: AbortSignal): Promise<void> {
    const { clock, log, host, onInitialized, health } = { ...this.#options, health: this.health };
    const backoff = new Backoff({ clock, ...INITIALIZATION_RETRY });
    for (;;) {
      try {
        const { cluster, addresses } = await initializeCluster({ ...this.#options, host: host.name, signal });
        host.update(addresses);
        onInitialized();
        this.#cluster.resolve(cluster);
        health.report("NodeStartup", { ready: true, detail: "initialised" });
        log.info({ event: "node_initialized", cluster, addresses });
        break;
      } catch (error) {
        signal.throwIfAborted();
        // Nobody but a user can mend this.
        if (error instanceof OperationError && error.code === "NODE_DUPLICATE_ADDRESS") throw error;
        health.report("NodeStartup", { detail: describeError(error) });
        log.warn({ event: "node_initialization_waits", error: describeError(error) });
        await backoff.wait(signal);
      }
    }
    if (this.#options.migratePolicies) this.#scope.run("policy names", (stop) => this.#migratePolicies(stop));
    await this.#ownNode.run(signal);
  }

  async #migratePolicies(signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#options;
    const backoff = new Backoff({ clock, ...INITIALIZATION_RETRY });
    for (;;) {
      try {
        const { renamed, left } = await migratePolicyNames(store, signal);
        log.info({ event: "policies_renamed", renamed, left });
        return;
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ event: "policies_not_renamed", error: describeError(error) });
        await backoff.wait(signal);
      }
    }
  }
}

function ownNodeProblem({ lastError }: OwnNode): object {
  return lastError === undefined ? {} : { nodeError: describeError(lastError) };
}
