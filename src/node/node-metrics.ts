/** Prometheus metrics of the node, under Felix' names where Felix has them (reference/felix-dataplane.md 6.6). */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

const STEP_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class NodeMetrics {
  readonly registry = new Registry();
  readonly applySeconds = new Histogram({
    name: "felix_int_dataplane_apply_time_seconds",
    help: "Time one pass took to bring the kernel to the wanted state",
    buckets: STEP_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly applyFailures = new Counter({
    name: "felix_int_dataplane_failures",
    help: "Passes that failed and are repeated",
    registers: [this.registry],
  });
  readonly resyncState = new Gauge({
    name: "felix_resync_state",
    help: "1 waiting for the datastore, 3 in sync",
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
    collectDefaultMetrics({ register: this.registry });
  }
}
