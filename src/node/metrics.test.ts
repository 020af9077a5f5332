/** The metrics page tells what happened, and docs/node.md which names it has. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeKey, resourceKey, workloadEndpointKey } from "../model/keys.ts";
import { PolicyCalculator } from "../policy/policy-calculator.ts";
import { CheckingSink } from "../policy/testing/checking-sink.ts";
import {
  block,
  type Documents,
  endpoint,
  hostEndpoint,
  network,
  node,
  pool,
  profile,
} from "../policy/testing/cluster-documents.ts";
import { ClusterCounts } from "./cluster-counts.ts";
import { type GaugeSources, registerGauges } from "./cluster-gauges.ts";
import { CountedSink } from "./counted-sink.ts";
import { newCounters } from "./dataplane/apply-measures.ts";
import { NodeMetrics } from "./node-metrics.ts";

function sources() {
  const found = {
    host: "h",
    cluster: new ClusterCounts(),
    local: () => ({ endpoints: 1, lists: 2, sets: 3 }),
    labelIndex: () => ({
      items: 4,
      selectors: { byLabel: 5, broad: 6 },
      evaluations: { matched: 7, unmatched: 8 },
      searches: { "all-groups": 6, label: 0, "one-value": 5, "several-values": 0 },
    }),
    told: new Map<string, number>(),
    dataplane: newCounters(),
    objects: () => ({
      ...{ chains: 11, rules: 12, sets: 13, addressSets: { 4: 8, 6: 3 }, maps: 14 },
      ...{ routes: 15, interfaces: 16 },
    }),
    logFailures: { errors: 0, dropped: 0 },
  } satisfies GaugeSources;
  const metrics = new NodeMetrics();
  metrics.processMetrics = false;
  registerGauges(metrics.registry, found);
  return { ...found, metrics, lines: async () => (await metrics.page()).split("\n") };
}

test("57: objects are counted once, however often they change, and the page tells it under Felix' names", async () => {
  const { cluster, dataplane, told, logFailures, lines } = sources();
  const web = workloadEndpointKey("default", "h-o-w-e");
  cluster.update(nodeKey("h"), true, false);
  cluster.update(nodeKey("h"), true, true);
  cluster.update(web, true, false);
  cluster.update(resourceKey({ kind: "GlobalNetworkPolicy", name: "a" }), true, false);
  cluster.update(resourceKey({ kind: "NetworkPolicy", name: "b", namespace: "default" }), true, false);
  cluster.update("/calico/ipam/v2/config", true, false);
  expect(await lines()).toEqual(
    expect.arrayContaining([
      "felix_cluster_num_hosts 1",
      "felix_cluster_num_workload_endpoints 1",
      "felix_cluster_num_policies 2",
      "felix_active_local_endpoints 1",
      "felix_active_local_policies 2",
      "felix_active_local_selectors 3",
      "felix_ipsets_total 27",
      'felix_ipsets_calico{ip_version="4"} 8',
      'felix_ipsets_calico{ip_version="6"} 3',
      "felix_nft_chains 11",
      "felix_nft_rules 12",
      "felix_nft_sets 13",
      "felix_nft_maps 14",
      "felix_route_table_num_routes 15",
      "felix_route_table_num_ifaces 16",
      "felix_label_index_num_endpoints 4",
      'felix_label_index_num_active_selectors{optimized="true"} 5',
      'felix_label_index_num_active_selectors{optimized="false"} 6',
      'felix_label_index_selector_evals{result="true"} 7',
      'felix_label_index_selector_evals{result="false"} 8',
      'felix_label_index_strategy_evals{strategy="one-value"} 5',
      'felix_calc_graph_updates_processed{type="Node"} 2',
      "felix_calc_graph_output_events 0",
      "felix_nft_calls 0",
      'felix_host{host="h"} 1',
    ]),
  );
  cluster.update(web, false, true);
  cluster.update(web, false, false);
  Object.assign(dataplane, {
    ...{ filterTransactions: 7, filterErrors: 2, filterSetTransactions: 5, filterSetErrors: 1 },
    ...{ filterReads: 4, filterReadErrors: 3 },
  });
  told.set("endpoint", 3).set("ruleList", 4);
  Object.assign(logFailures, { errors: 8, dropped: 9 });
  expect(await lines()).toEqual(
    expect.arrayContaining([
      "felix_cluster_num_workload_endpoints 0",
      "felix_nft_calls 7",
      "felix_nft_errors 2",
      "felix_nft_set_calls 5",
      "felix_nft_set_errors 1",
      "felix_nft_list_calls 4",
      "felix_nft_list_errors 3",
      'felix_int_dataplane_messages{type="endpoint"} 3',
      'felix_int_dataplane_messages{type="ruleList"} 4',
      "felix_calc_graph_output_events 7",
      "felix_log_errors 8",
      "felix_logs_dropped 9",
    ]),
  );
});

test("57: what the data plane measures is told under Felix' names, in Felix' units", async () => {
  const { metrics, lines } = sources();
  metrics.measured("interface-changes", 3);
  metrics.measured("address-changes", 2);
  metrics.measured("routes-read-seconds", 0.5);
  metrics.measured("flows-forgotten-seconds", 0.25);
  metrics.measured("child-process-seconds", 0.125);
  expect(await lines()).toEqual(
    expect.arrayContaining([
      "felix_int_dataplane_iface_msg_batch_size_sum 3",
      "felix_int_dataplane_addr_msg_batch_size_sum 2",
      "felix_route_table_resync_seconds_sum 0.5",
      "felix_route_table_conntrack_wait_seconds_sum 0.25",
      "felix_exec_time_micros_sum 125000",
      "felix_exec_time_micros_count 1",
    ]),
  );
});

test("57: everything the calculation says is passed on and counted by kind", () => {
  const behind = new CheckingSink();
  const counted = new CountedSink(behind);
  const calculator = new PolicyCalculator({ host: "h1", sink: counted });
  const say = (documents: Documents) => {
    for (const [key, value] of Object.entries(documents)) calculator.update(key, value);
    calculator.flush();
  };
  calculator.inSync();
  const toDb = { action: "Allow", protocol: "TCP", destination: { selector: "db == ''", ports: ["sql"] } };
  say({
    ...network("net"),
    ...profile("client", { egress: [toDb] }),
    ...endpoint("a", "10.0.0.1", { profiles: ["net", "client"] }),
    ...hostEndpoint("card", { node: "h1", interfaceName: "eth0" }),
    ...pool("10.0.0.0/16", true),
  });
  const ports = [{ name: "sql", protocol: "TCP", port: 5432 }];
  say({
    ...endpoint("b", "10.0.0.2", { host: "h2", profiles: ["net"], labels: { db: "" }, ports }),
    ...node("h2", "10.9.0.2"),
  });
  say({ ...block("10.0.0.64/26", "host:h2"), ...endpoint("a", "10.0.0.1", { profiles: ["net"] }) });
  // The receiver names its calls by subject too, "+set s:net": only how many of each kind counts here.
  const calls = (pattern: RegExp) => behind.calls.filter((call) => pattern.test(call)).length;
  expect(Object.fromEntries(counted.counts)).toEqual({
    addressSet: calls(/^[+-]set /),
    addressSetDelta: calls(/^set /),
    portSet: calls(/^[+-]port set /),
    portSetDelta: calls(/^port set /),
    ruleList: calls(/^[+-]list /),
    endpoint: calls(/^[+-]endpoint /),
    hostEndpoint: calls(/^[+-]host endpoint /),
    hostSettings: calls(/^settings$/),
    hostAddresses: calls(/^hosts$/),
    natPools: calls(/^pools$/),
    remoteRoutes: calls(/^routes$/),
    localBlocks: calls(/^blocks$/),
  });
  expect([...counted.counts.values()].reduce((sum, count) => sum + count)).toBe(behind.calls.length);
});

/** Names in back quotes of the table rows and lines between two phrases of the page. */
function namesBetween(text: string, from: string, to: string): Set<string> {
  const part = text.slice(text.indexOf(from), text.indexOf(to));
  return new Set(Array.from(part.matchAll(/`((?:felix|margay)_[a-z_]+\*?)`/g), ([, name = ""]) => name));
}

test("57: docs/node.md names every metric that is there, no other, and for each of Felix' that is not a reason", async () => {
  const text = readFileSync(join(import.meta.dir, "../../docs/node.md"), "utf8");
  const there = namesBetween(text, "Felix' names, where", "What is counted is Margay's");
  const own = namesBetween(text, "Own names:", "Not here, because");
  const absent = namesBetween(text, "Not here, because", "## Policies stored");
  const registered = sources()
    .metrics.registry.getMetricsAsArray()
    .map(({ name }) => name);
  // Registered by those who count: the Docker driver is in NodeMetrics already, the address upkeep is not.
  const elsewhere = ["margay_ipam_repairs_total"];
  expect([...there, ...own].sort()).toEqual([...registered, ...elsewhere].sort());
  for (const name of absent) {
    const isIt = name.endsWith("*")
      ? (one: string) => one.startsWith(name.slice(0, -1))
      : (one: string) => one === name;
    // The reason of this one names the metric that stands for it.
    expect(registered.filter(isIt).filter((one) => one !== "felix_route_table_resync_seconds")).toEqual([]);
  }
  expect(felixNames.filter((name) => !there.has(name) && !isAbsent(absent, name))).toEqual([]);
});

function isAbsent(absent: ReadonlySet<string>, name: string): boolean {
  return absent.has(name) || [...absent].some((one) => one.endsWith("*") && name.startsWith(one.slice(0, -1)));
}

/** What dashboards for Felix ask for (felix-dataplane.md 6.6). */
const felixNames = [
  ...["felix_active_local_endpoints", "felix_active_local_policies", "felix_active_local_selectors"],
  ...["felix_cluster_num_hosts", "felix_cluster_num_host_endpoints", "felix_cluster_num_workload_endpoints"],
  ...["felix_cluster_num_policies", "felix_cluster_num_profiles", "felix_cluster_num_tiers"],
  ...["felix_resync_state", "felix_int_dataplane_initial_resync_time_seconds", "felix_host", "felix_ipsets_total"],
  ...["felix_label_index_num_endpoints", "felix_iptables_chains", "felix_iptables_rules"],
  ...["felix_nft_chains", "felix_nft_rules", "felix_nft_maps", "felix_nft_sets"],
  ...["felix_nft_flowtable_devices", "felix_nft_flowtable_missing_devices", "felix_ipsets_calico"],
  ...["felix_route_table_num_ifaces", "felix_route_table_num_routes", "felix_label_index_num_active_selectors"],
  ...["felix_calc_graph_output_events", "felix_calc_graph_updates_processed", "felix_resyncs_started"],
  ...["felix_int_dataplane_failures", "felix_int_dataplane_messages"],
  ...["felix_ipset_calls", "felix_ipset_errors", "felix_ipset_lines_executed"],
  ...["felix_iptables_restore_calls", "felix_iptables_restore_errors", "felix_iptables_save_calls"],
  ...["felix_iptables_save_errors", "felix_iptables_lines_executed"],
  ...["felix_nft_calls", "felix_nft_errors", "felix_nft_list_calls", "felix_nft_list_errors"],
  ...["felix_nft_set_calls", "felix_nft_set_errors", "felix_log_errors", "felix_logs_dropped"],
  ...["felix_label_index_selector_evals", "felix_label_index_strategy_evals", "felix_nflog_"],
  ...["felix_calc_graph_update_time_seconds", "felix_int_dataplane_apply_time_seconds"],
  ...["felix_int_dataplane_msg_batch_size", "felix_int_dataplane_iface_msg_batch_size"],
  ...["felix_int_dataplane_addr_msg_batch_size", "felix_exec_time_micros", "felix_route_table_resync_seconds"],
  ...["felix_route_table_list_seconds", "felix_route_table_per_iface_sync_seconds"],
  ...["felix_route_table_partial_resync_seconds", "felix_route_table_conntrack_wait_seconds"],
  ...["felix_bpf_", "felix_collector_"],
];
