/** Gauges and counters that are read when somebody asks, under Felix' names (felix-dataplane.md 6.6): only those with a true value. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { LogFailures } from "../base/log.ts";
import type { LabelIndexCounts } from "../policy/label-index.ts";
import type { ClusterCounts } from "./cluster-counts.ts";
import type { DataplaneCounters } from "./dataplane/apply-measures.ts";
import type { ObjectCounts } from "./dataplane/standing.ts";

export interface GaugeSources {
  readonly host: string;
  readonly cluster: ClusterCounts;
  readonly local: () => { readonly endpoints: number; readonly lists: number; readonly sets: number };
  readonly labelIndex: () => LabelIndexCounts;
  /** What the policy calculation has told the data plane. */
  readonly told: ReadonlyMap<string, number>;
  readonly dataplane: DataplaneCounters;
  readonly objects: () => ObjectCounts;
  readonly logFailures: LogFailures;
}

/** With a label: one number for each of its values. */
type Values = number | { readonly label: string; readonly of: Iterable<readonly [value: string, number]> };
type Metric = readonly [name: string, help: string, values: () => Values];

export function registerGauges(registry: Registry, sources: GaugeSources): void {
  for (const metric of gauges(sources)) register(registry, Gauge, metric);
  for (const metric of counters(sources)) register(registry, Counter, metric);
}

function gauges({ host, cluster, local, labelIndex, objects }: GaugeSources): readonly Metric[] {
  return [
    ["felix_cluster_num_hosts", "Nodes of the cluster", () => cluster.of("Node")],
    ["felix_cluster_num_host_endpoints", "Host endpoints of the cluster", () => cluster.of("HostEndpoint")],
    ["felix_cluster_num_workload_endpoints", "Workload endpoints", () => cluster.of("WorkloadEndpoint")],
    ["felix_cluster_num_policies", "Policies", () => cluster.of("GlobalNetworkPolicy", "NetworkPolicy")],
    ["felix_cluster_num_profiles", "Profiles", () => cluster.of("Profile")],
    ["felix_cluster_num_tiers", "Tiers", () => cluster.of("Tier")],
    ["felix_active_local_endpoints", "Endpoints of this host", () => local().endpoints],
    ["felix_active_local_policies", "Policies and profiles in force on this host", () => local().lists],
    ["felix_active_local_selectors", "Sets of addresses in force on this host", () => local().sets],
    ["felix_label_index_num_endpoints", "Endpoints and network sets of the cluster", () => labelIndex().items],
    [
      "felix_label_index_num_active_selectors",
      "Selectors of rules in force on this host; optimized: only what has certain labels is compared with them",
      () => byLabel("optimized", { true: labelIndex().selectors.byLabel, false: labelIndex().selectors.broad }),
    ],
    ["felix_ipsets_total", "Sets and maps of the packet filter", () => objects().sets + objects().maps],
    [
      "felix_ipsets_calico",
      "Sets of the packet filter that hold addresses of the family",
      () => byLabel("ip_version", objects().addressSets),
    ],
    ["felix_nft_chains", "Chains of the packet filter", () => objects().chains],
    ["felix_nft_rules", "Rules of the packet filter", () => objects().rules],
    ["felix_nft_sets", "Sets of the packet filter", () => objects().sets],
    ["felix_nft_maps", "Maps of the packet filter", () => objects().maps],
    ["felix_route_table_num_routes", "Routes of the node", () => objects().routes],
    ["felix_route_table_num_ifaces", "Interfaces of the host that the node follows", () => objects().interfaces],
    ["felix_host", "1 for this host", () => byLabel("host", { [host]: 1 })],
  ];
}

function counters({ cluster, labelIndex, told, dataplane, logFailures }: GaugeSources): readonly Metric[] {
  return [
    [
      "felix_calc_graph_updates_processed",
      "Changes of the datastore by kind",
      () => ({ label: "type", of: cluster.changes }),
    ],
    [
      "felix_calc_graph_output_events",
      "What the policy calculation has told the data plane",
      () => [...told.values()].reduce((sum, count) => sum + count, 0),
    ],
    [
      "felix_int_dataplane_messages",
      "What the data plane was told by the policy calculation, by kind",
      () => ({ label: "type", of: told }),
    ],
    [
      "felix_label_index_selector_evals",
      "Comparisons of a selector with labels that are the same for all who have them",
      () => {
        const { matched, unmatched } = labelIndex().evaluations;
        return byLabel("result", { true: matched, false: unmatched });
      },
    ],
    [
      "felix_label_index_strategy_evals",
      "Ways in which a new selector found what to be compared with",
      () => byLabel("strategy", labelIndex().searches),
    ],
    ["felix_nft_calls", "Transactions of the packet filter", () => dataplane.filterTransactions],
    ["felix_nft_errors", "Those of them that the kernel refused", () => dataplane.filterErrors],
    ["felix_nft_set_calls", "Transactions that concern sets and maps", () => dataplane.filterSetTransactions],
    ["felix_nft_set_errors", "Those of them that the kernel refused", () => dataplane.filterSetErrors],
    ["felix_nft_list_calls", "Readings of the packet filter", () => dataplane.filterReads],
    ["felix_nft_list_errors", "Those of them that failed", () => dataplane.filterReadErrors],
    ["felix_log_errors", "Writes of the log that failed", () => logFailures.errors],
    ["felix_logs_dropped", "Lines of the log that were given up", () => logFailures.dropped],
    ["margay_dataplane_route_writes_total", "Routes written or removed", () => dataplane.routeWrites],
    ["margay_dataplane_drift_total", "What others had changed in our kernel state", () => dataplane.driftFound],
  ];
}

function byLabel(label: string, values: Readonly<Record<string | number, number>>): Values {
  return { label, of: Object.entries(values) };
}

function register(registry: Registry, Kind: typeof Gauge | typeof Counter, [name, help, values]: Metric): void {
  const now = values();
  new Kind({
    name,
    help,
    labelNames: typeof now === "number" ? [] : [now.label],
    registers: [registry],
    collect() {
      const found = values();
      this.reset();
      if (typeof found === "number") this.inc(found);
      else for (const [value, count] of found.of) this.inc({ [found.label]: value }, count);
    },
  });
}
