/** Prometheus metrics of the node, under Felix' names where Felix has them (reference/felix-dataplane.md 6.6). */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry, Summary } from "prom-client";
import type { MeasureName } from "./dataplane/apply-measures.ts";

const STEP_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Felix' own choice of quantiles, of the last ten minutes. */
const summary = { percentiles: [0.5, 0.9, 0.99], maxAgeSeconds: 600, ageBuckets: 5 };

export class NodeMetrics {
  readonly registry = new Registry();
  /** Of the process: whoever scrapes them from the machine already can leave them out. */
  readonly #process = new Registry();
  /** Whether the page tells of the process too. */
  processMetrics = true;
  readonly applySeconds = this.#summary(
    "felix_int_dataplane_apply_time_seconds",
    "Time one pass took to bring the kernel to the wanted state",
  );
  readonly batchSize = this.#summary(
    "felix_int_dataplane_msg_batch_size",
    "Changes of the datastore taken in by one pass",
  );
  /** What the data plane measures as it happens. */
  readonly #measured: Readonly<Record<MeasureName, Summary>> = {
    "interface-changes": this.#summary(
      "felix_int_dataplane_iface_msg_batch_size",
      "Changes of interfaces that the kernel had reported when somebody looked",
    ),
    "address-changes": this.#summary(
      "felix_int_dataplane_addr_msg_batch_size",
      "Changes of addresses that the kernel had reported when somebody looked",
    ),
    "routes-read-seconds": this.#summary("felix_route_table_resync_seconds", "Time to read all routes back"),
    "flows-forgotten-seconds": this.#summary(
      "felix_route_table_conntrack_wait_seconds",
      "Time a pass waited until the connections of addresses given back were forgotten",
    ),
    "child-process-seconds": this.#summary("felix_exec_time_micros", "Time the iptables programs took to run"),
  };
  readonly updateSeconds = this.#summary(
    "felix_calc_graph_update_time_seconds",
    "Time to take in one change of the datastore, once in sync",
  );
  readonly resyncsStarted = new Counter({
    name: "felix_resyncs_started",
    help: "How often the datastore had to be read from the start",
    registers: [this.registry],
  });
  readonly initialResyncSeconds = new Gauge({
    name: "felix_int_dataplane_initial_resync_time_seconds",
    help: "Time from the start until the kernel had its first complete state",
    registers: [this.registry],
  });
  readonly applyFailures = new Counter({
    name: "felix_int_dataplane_failures",
    help: "Passes that failed and are repeated",
    registers: [this.registry],
  });
  readonly resyncState = new Gauge({
    name: "felix_resync_state",
    help: "1 waiting for the datastore, 2 reading it, 3 in sync",
    registers: [this.registry],
  });
  readonly pluginCallSeconds = new Histogram({
    name: "margay_docker_plugin_call_seconds",
    help: "Time Docker's plug-in calls took to answer",
    labelNames: ["call", "outcome"],
    buckets: STEP_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly endpointStepSeconds = new Histogram({
    name: "margay_docker_endpoint_step_seconds",
    help: "Time of each step of setting up a container's endpoint",
    labelNames: ["step"],
    buckets: STEP_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly repaired = new Counter({
    name: "margay_docker_repairs_total",
    help: "What the reconciler had to put right: each one is a lost call or a crash",
    labelNames: ["kind"],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.#process });
  }

  readonly measured = (name: MeasureName, value: number): void => {
    // Felix counts microseconds here, and seconds everywhere else.
    this.#measured[name].observe(name === "child-process-seconds" ? value * 1e6 : value);
  };

  #summary(name: string, help: string): Summary {
    return new Summary({ name, help, registers: [this.registry], ...summary });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** What Prometheus reads. */
  async page(): Promise<string> {
    const own = await this.registry.metrics();
    return this.processMetrics ? `${own}\n${await this.#process.metrics()}` : own;
  }
}
