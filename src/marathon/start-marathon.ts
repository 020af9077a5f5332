/**
 * marathon/ runs applications on a Mesos cluster: it keeps what shall run, finds places for it, and looks after it.
 *
 * - Reaches the cluster only over the Mesos v1 scheduler API (scheduler/), so that it works with a real Mesos master too.
 * - app/ and plan/ are pure: documents to apps, snapshots to steps. Doing is in scheduling/, health/, deployment-service.ts.
 * - Every change is in the store before anybody is told of it, every instance before its launch is sent. Killed at any
 *   moment, the next start reads the store and asks the master: no task is lost, none runs twice.
 * - Time and randomness come from the clock handed in.
 * Absent on purpose: the web page (ui/ stands above, its routes are handed in), leader election (one process; a second
 * one takes the framework over and the first one ends), pods, resident tasks.
 */

import type { Clock } from "../base/clock.ts";
import { deadline } from "../base/clock.ts";
import { describeError, OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Reconciler } from "../base/reconciler.ts";
import { TaskScope } from "../base/task-scope.ts";
import type { FrameworkInfo } from "../mesos/protocol/framework-info.ts";
import type { SchedulerEvent } from "../mesos/protocol/scheduler-event.ts";
import type { Store } from "../store/store.ts";
import { ApiServer } from "./api/api-server.ts";
import { AppView } from "./api/app-view.ts";
import { appsRoutes } from "./api/apps-api.ts";
import { clusterRoutes } from "./api/cluster-api.ts";
import { deploymentsRoutes } from "./api/deployments-api.ts";
import { EventStreams } from "./api/event-stream.ts";
import { tasksRoutes } from "./api/tasks-api.ts";
import type { InstanceId } from "./app/app-id.ts";
import { DeploymentService } from "./deployment-service.ts";
import type { Engine } from "./engine.ts";
import { EventBus } from "./events/event-bus.ts";
import { HealthMonitor } from "./health/health-monitor.ts";
import { type Probe, probe } from "./health/probe.ts";
import { Metrics } from "./metrics.ts";
import { LaunchDelays } from "./plan/launch-delay.ts";
import { FrameworkRefused, SchedulerConnection, type Transport } from "./scheduler/scheduler-connection.ts";
import { Conductor } from "./scheduling/conductor.ts";
import { LaunchQueue } from "./scheduling/launch-queue.ts";
import { Launcher } from "./scheduling/launcher.ts";
import { OfferBook } from "./scheduling/offer-book.ts";
import { OrphanKills } from "./scheduling/orphan-kills.ts";
import { Reconciliation } from "./scheduling/reconciliation.ts";
import { StatusUpdates } from "./scheduling/status-updates.ts";
import type { MarathonSettings } from "./settings.ts";
import { ClusterState } from "./state/cluster-state.ts";
import { knownNetworks } from "./state/known-networks.ts";
import { put, remove } from "./state/records.ts";

export interface MarathonOptions {
  readonly settings: MarathonSettings;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** How the master is reached; `fetch` unless a test stands in. */
  readonly transport?: Transport;
  readonly probe?: Probe;
  /** Networks an app may name; by default those in the store, if settings ask for the check. */
  readonly knownNetworks?: (wanted: readonly string[]) => Promise<ReadonlySet<string> | undefined>;
  /** Answers what no route does. */
  readonly extraFetch?: (request: Request) => Response | undefined | Promise<Response | undefined>;
}

export interface Marathon extends AsyncDisposable {
  /** The HTTP API, also without a listening socket. */
  fetch(request: Request, clientIp?: string): Promise<Response>;
  /** Ends when stopped; rejects when Marathon cannot go on, e.g. because another one took over. */
  readonly finished: Promise<void>;
  readonly engine: Engine;
  /** Resolves when a pass that began after the call is done. */
  settled(): Promise<void>;
}

const networksTimeoutMs = 5_000;
const resyncEveryMs = 30_000;

/** Reads the state, starts scheduling, and answers requests. Throws if the state cannot be used. */
export async function startMarathon(options: MarathonOptions): Promise<Marathon> {
  const { settings, store, clock, log } = options;
  const bus = new EventBus(clock);
  const metrics = new Metrics();
  const scope = new TaskScope("marathon");
  const state = new ClusterState({ store, clock, onReload: () => uncertain() });
  await state.exclusive(async () => {
    if (state.frameworkId === undefined && state.instances.size > 0) {
      throw new OperationError("FRAMEWORK_ID_MISSING", "there are instances in the store but no framework id", {
        remedy:
          "restore the key /margay/marathon/framework-id, or delete /margay/marathon/instances/ after ending the tasks",
      });
    }
  });

  const health = new HealthMonitor({
    clock,
    log,
    bus,
    probe: options.probe ?? probe,
    definitionOf: (instance) => state.definitionOf(instance),
    onChange: () => reconciler.poke(),
    onFailed: (instance, cause) => scope.run("kill-unhealthy", () => killUnhealthy(instance.id, cause)),
  });
  const connection = new SchedulerConnection({
    masters: settings.masters,
    clock,
    log,
    transport: options.transport ?? ((url, init) => fetch(url, init)),
    heartbeatsMissedMax: settings.heartbeatsMissedMax,
    handlers: {
      framework: () => ({ id: state.frameworkId, info: frameworkInfo(settings) }),
      onSubscribed: (id, master) => subscribed(id, master?.pid ?? connection.masterUrl),
      onEvent: (event) => handle(event),
      onDisconnected: () => {
        book.connectionChanged();
        bus.publish("scheduler_disconnected_event");
        log.warn({ event: "master_disconnected" });
      },
    },
  });
  const engine: Engine = {
    clock,
    log,
    settings,
    state,
    bus,
    metrics,
    health,
    connection,
    delays: new LaunchDelays(),
    queue: new LaunchQueue(),
    poke: () => reconciler.poke(),
  };
  const book = new OfferBook({
    clock,
    gatherMs: settings.offerGatherMs,
    reviveIntervalMinMs: settings.reviveIntervalMinMs,
  });
  const orphans = new OrphanKills({ clock, log, connection, retryMs: settings.limits.killRetryMs });
  const reconciliation = new Reconciliation({ clock, connection, intervalMs: settings.reconciliationIntervalMs });
  const updates = new StatusUpdates(engine, orphans);
  const uncertain = () => scope.run("reconcile", () => reconcileNow());
  const launcher = new Launcher(engine, book, updates, uncertain);
  const conductor = new Conductor(engine, { launcher, orphans, reconciliation, updates });
  const reconciler = new Reconciler({ name: "marathon", clock, log, pass: () => conductor.pass(), resyncEveryMs });
  addGauges(metrics, engine);

  async function subscribed(id: string, master: string | undefined): Promise<void> {
    const known = state.frameworkId;
    await state.exclusive(async () => {
      if (state.frameworkId === id) return;
      await state.commit([put.frameworkId(id)], () => {
        state.frameworkId = id;
      });
    });
    log.info({ event: "master_subscribed", framework: id, master });
    if (known === id) bus.publish("scheduler_reregistered_event", { master });
    else bus.publish("scheduler_registered_event", { frameworkId: id, master });
    book.connectionChanged();
    conductor.connectionChanged();
    await reconciliation.start(state.instances.values());
    reconciler.poke();
  }

  async function handle(event: SchedulerEvent): Promise<void> {
    switch (event.type) {
      case "OFFERS": {
        const offers = event.offers.offers ?? [];
        metrics.count("mesos.offers.incoming.counter", offers.length);
        book.add(offers);
        reconciler.poke();
        break;
      }
      case "RESCIND":
        book.remove(event.rescind.offer_id.value);
        break;
      case "UPDATE":
        reconciliation.answered(event.update.status.task_id.value);
        await updates.handle(event.update.status);
        break;
      case "MESSAGE":
        bus.publish("framework_message_event", {
          executorId: event.message.executor_id.value,
          slaveId: event.message.agent_id.value,
          message: [...Buffer.from(event.message.data, "base64")],
        });
        break;
      default:
        // HEARTBEAT, and what concerns executors and operations we do not use.
        break;
    }
  }

  async function killUnhealthy(id: InstanceId, cause: string): Promise<void> {
    try {
      await state.exclusive(async () => {
        const instance = state.instances.get(id);
        if (instance?.goal !== "Running" || instance.condition !== "Running") return;
        updates.publishUnhealthyKill(instance, cause);
        await conductor.kill(id, "unhealthy");
      });
    } catch (error) {
      // The store is away: the next failed check asks again.
      log.warn({ event: "unhealthy_kill_failed", instance: id, error: describeError(error) });
    }
    reconciler.poke();
  }

  /** A launch's or write's fate is not known: the master tells. */
  async function reconcileNow(): Promise<void> {
    if (!connection.connected) return; // the next subscription asks anyway
    try {
      await reconciliation.start(state.instances.values());
    } catch (error) {
      log.warn({ event: "reconcile_unsent", error: describeError(error) });
    }
  }

  async function runConnection(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await connection.run(signal);
      } catch (error) {
        if (!(error instanceof FrameworkRefused) || !error.message.includes("removed")) throw error;
        // Torn down or away for too long: the master has killed all tasks of this framework. Begin anew with the same apps.
        log.error({ event: "framework_removed", error: describeError(error), instances: state.instances.size });
        await forgetFramework();
      }
    }
  }

  async function forgetFramework(): Promise<void> {
    await state.exclusive(async () => {
      const instances = [...state.instances.values()];
      for (let start = 0; start < instances.length; start += 100) {
        const batch = instances.slice(start, start + 100);
        await state.commit(
          batch.map(({ id }) => remove.instance(id)),
          () => {
            for (const instance of batch) state.dropInstance(instance);
          },
        );
      }
      await state.commit([remove.frameworkId()], () => {
        state.frameworkId = undefined;
      });
    });
    reconciler.poke();
  }

  const service = new DeploymentService(engine);
  const view = new AppView(engine);
  const streams = new EventStreams(engine);
  const leader = () => `${settings.hostname}:${settings.httpPort}`;
  const networks =
    options.knownNetworks ??
    (async (wanted) =>
      settings.networkCheck
        ? await knownNetworks(store, clock, wanted, deadline(clock, networksTimeoutMs))
        : undefined);
  const server = new ApiServer({
    settings,
    log,
    metrics,
    leader,
    extraFetch: options.extraFetch,
    routes: [
      ...tasksRoutes({ engine, service, view, conductor }),
      ...appsRoutes({ engine, service, view, knownNetworks: networks }),
      ...deploymentsRoutes({ engine, service, view }),
      ...streams.routes,
      ...clusterRoutes({ engine, view, leader, abdicate: () => clock.timer(500, () => scope.stop()) }),
    ],
  });

  scope.run("connection", runConnection);
  scope.run("planning", (signal) => reconciler.run(signal));

  const { finished } = scope;
  finished.catch(() => undefined); // whoever waits for it gets the error; nobody has to
  return {
    engine,
    fetch: (request, clientIp = "127.0.0.1") => server.fetch(request, clientIp),
    finished,
    settled: () => reconciler.settled(),
    async [Symbol.asyncDispose]() {
      streams.close();
      conductor.stop();
      health.stop();
      await scope[Symbol.asyncDispose]();
    },
  };
}

function frameworkInfo(settings: MarathonSettings): FrameworkInfo {
  return {
    user: settings.user,
    name: settings.frameworkName,
    failover_timeout: settings.failoverTimeoutSeconds,
    checkpoint: true,
    roles: settings.rules.roles,
    hostname: settings.hostname,
    webui_url: settings.webuiUrl ?? `http://${settings.hostname}:${settings.httpPort}`,
    capabilities: [{ type: "PARTITION_AWARE" }, { type: "TASK_KILLING_STATE" }, { type: "MULTI_ROLE" }],
  };
}

function addGauges(metrics: Metrics, { state, clock }: Engine): void {
  const startedMs = clock.nowMs();
  const running = () => [...state.instances.values()].filter(({ condition }) => condition === "Running").length;
  metrics.gauge("apps.active.gauge", () => state.apps.size);
  metrics.gauge("deployments.active.gauge", () => state.deployments.size);
  metrics.gauge("instances.running.gauge", running);
  metrics.gauge("instances.staged.gauge", () => state.instances.size - running());
  metrics.gauge("uptime.gauge.seconds", () => Math.round((clock.nowMs() - startedMs) / 1000));
}
