/** Counts of what the cluster has follow what comes and goes, and are what the metrics page says. */
import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { nodeKey, resourceKey, workloadEndpointKey } from "../model/keys.ts";
import { ClusterCounts } from "./cluster-counts.ts";
import { registerGauges } from "./cluster-gauges.ts";
import { newCounters } from "./dataplane/apply-measures.ts";

test("57: objects are counted once, however often they change, and the page tells it under Felix' names", async () => {
  const cluster = new ClusterCounts();
  const web = workloadEndpointKey("default", "h-o-w-e");
  cluster.update(nodeKey("h"), true, false);
  cluster.update(nodeKey("h"), true, true);
  cluster.update(web, true, false);
  cluster.update(resourceKey({ kind: "GlobalNetworkPolicy", name: "a" }), true, false);
  cluster.update(resourceKey({ kind: "NetworkPolicy", name: "b", namespace: "default" }), true, false);
  cluster.update("/calico/ipam/v2/config", true, false);
  const registry = new Registry();
  const dataplane = newCounters();
  const local = () => ({ endpoints: 1, lists: 2, sets: 3 });
  const objects = () => ({ chains: 11, rules: 12, sets: 13, maps: 14, routes: 15 });
  registerGauges(registry, { host: "h", cluster, local, dataplane, objects });
  const page = async () => (await registry.metrics()).split("\n").filter((line) => !line.startsWith("#"));
  expect(await page()).toEqual(
    expect.arrayContaining([
      "felix_cluster_num_hosts 1",
      "felix_cluster_num_workload_endpoints 1",
      "felix_cluster_num_policies 2",
      "felix_active_local_endpoints 1",
      "felix_active_local_policies 2",
      "felix_active_local_selectors 3",
      "felix_ipsets_total 27",
      "felix_nft_chains 11",
      "felix_nft_rules 12",
      "felix_nft_sets 13",
      "felix_nft_maps 14",
      "felix_route_table_num_routes 15",
      'felix_calc_graph_updates_processed{type="Node"} 2',
      "felix_nft_calls 0",
      'felix_host{host="h"} 1',
    ]),
  );
  cluster.update(web, false, true);
  cluster.update(web, false, false);
  dataplane.filterTransactions = 7;
  const after = await page();
  expect(after).toContain("felix_cluster_num_workload_endpoints 0");
  expect(after).toContain("felix_nft_calls 7");
});
