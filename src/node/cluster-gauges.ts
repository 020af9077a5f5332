/** Gauges and counters that are read when somebody asks, under Felix' names (felix-dataplane.md 6.6): only those with a true value. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { ClusterCounts } from "./cluster-counts.ts";
import type { DataplaneCounters } from "./dataplane/apply-measures.ts";
import type { FilterCounts } from "./dataplane/ruleset.ts";

export interface GaugeSources {
  readonly host: string;
  readonly cluster: ClusterCounts;
  readonly local: () => { readonly endpoints: number; readonly lists: number; readonly sets: number };
  readonly dataplane: DataplaneCounters;
  readonly objects: () => FilterCounts & { readonly routes: number };
}

export function registerGauges(registry: Registry, { host, cluster, local, dataplane, objects }: GaugeSources): void {
  const gauges: readonly [name: string, help: string, value: () => number][] = [
    ["felix_cluster_num_hosts", "Nodes of the cluster", () => cluster.of("Node")],
    ["felix_cluster_num_host_endpoints", "Host endpoints of the cluster", () => cluster.of("HostEndpoint")],
    ["felix_cluster_num_workload_endpoints", "Workload endpoints", () => cluster.of("WorkloadEndpoint")],
    ["felix_cluster_num_policies", "Policies", () => cluster.of("GlobalNetworkPolicy", "NetworkPolicy")],
    ["felix_cluster_num_profiles", "Profiles", () => cluster.of("Profile")],
    ["felix_cluster_num_tiers", "Tiers", () => cluster.of("Tier")],
    ["felix_active_local_endpoints", "Endpoints of this host", () => local().endpoints],
    ["felix_active_local_policies", "Policies and profiles in force on this host", () => local().lists],
    ["felix_active_local_selectors", "Sets of addresses in force on this host", () => local().sets],
    ["felix_ipsets_total", "Sets and maps of the packet filter", () => objects().sets + objects().maps],
    ["felix_nft_chains", "Chains of the packet filter", () => objects().chains],
    ["felix_nft_rules", "Rules of the packet filter", () => objects().rules],
    ["felix_nft_sets", "Sets of the packet filter", () => objects().sets],
    ["felix_nft_maps", "Maps of the packet filter", () => objects().maps],
    ["felix_route_table_num_routes", "Routes of the node", () => objects().routes],
  ];
  const counters: readonly [name: string, help: string, value: () => number][] = [
    ["felix_nft_calls", "Transactions of the packet filter", () => dataplane.filterTransactions],
    ["margay_dataplane_route_writes_total", "Routes written or removed", () => dataplane.routeWrites],
    ["margay_dataplane_drift_total", "What others had changed in our kernel state", () => dataplane.driftFound],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  }
  for (const [name, help, value] of counters) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  }
  new Counter({
    name: "felix_calc_graph_updates_processed",
    help: "Changes of the datastore by kind",
    labelNames: ["type"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [type, count] of cluster.changes) this.inc({ type }, count);
    },
  });
  const own = new Gauge({ name: "felix_host", help: "1 for this host", labelNames: ["host"], registers: [registry] });
  own.set({ host }, 1);
}
