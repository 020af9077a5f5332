/**
 * `margay node` as a user starts it on a host with one network card: without name, without address, on a real kernel and a
 * real store, in a network namespace of the test's own.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIpAddress } from "../base/addresses.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { eventually, TestNamespace } from "../kernel/testing/test-namespaces.ts";
import { clusterInformationKey, nodeKey, resourceKey } from "../model/keys.ts";
import { encode } from "../model/resource.ts";
import { keyOfWorkloadEndpoint, newWorkloadEndpoint } from "../model/workload-endpoint.ts";
import { connectEtcd } from "../store/etcd-client.ts";
import type { Store } from "../store/store.ts";

const mainFile = join(import.meta.dir, "../main.ts");
const endpoint = "http://127.0.0.1:2379";
const timeoutMs = 20_000;

let directory: string;
let host: TestNamespace;
let store: Store;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "margay-node-"));
  host = new TestNamespace("node", { enter: true });
  host.must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth-far");
  host.must("ip", "address", "add", "10.7.0.11/24", "dev", "eth0");
  for (const name of ["eth0", "veth-far"]) host.must("ip", "link", "set", name, "up");
  host.start(process.execPath, mainFile, "store", `--listen=${endpoint}`, `--data-dir=${join(directory, "store")}`);
  store = await connectEtcd({ endpoints: [endpoint], clock: systemClock, log: silentLog });
  await eventually(
    "the store",
    async () =>
      store.list("/x").then(
        () => true,
        () => false,
      ),
    timeoutMs,
  );
});

afterAll(async () => {
  await store[Symbol.asyncDispose]();
  host[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

interface Running {
  readonly process: ReturnType<typeof Bun.spawn>;
  readonly errors: () => string;
}

function startNode(env: Readonly<Record<string, string>> = {}, ...more: string[]): Running {
  const words = [
    ...[process.execPath, mainFile, "node", `--store=${endpoint}`, "--no-docker"],
    ...[`--run-dir=${join(directory, "run")}`, `--state-dir=${join(directory, "state")}`],
    ...[`--nodename-file=${join(directory, "nodename")}`, `--felix-config=${join(directory, "felix.cfg")}`, ...more],
  ];
  const log = join(directory, "node.log");
  const child = Bun.spawn(words, {
    env: { PATH: process.env.PATH, HOSTNAME: "Host-A", ...env },
    stdout: "ignore",
    stderr: Bun.file(log),
  });
  return { process: child, errors: () => readFileSync(log, "utf8") };
}

/** By a program: this process' own requests are made by a thread that is not in the namespace. */
function page(path: string, port = 9099): { status: number; text: string } | undefined {
  const words = ["curl", "-s", "-w", "\n%{http_code}", `http://127.0.0.1:${port}${path}`];
  const { exitCode, stdout } = host.run(words);
  if (exitCode !== 0) return undefined;
  const at = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(at + 1)), text: stdout.slice(0, at) };
}

const ready =
  (port = 9099) =>
  () =>
    page("/readiness", port)?.status === 200;

async function stop({ process: child }: Running): Promise<void> {
  child.kill("SIGTERM");
  await child.exited;
}

async function putFelix(name: string, spec: object): Promise<void> {
  const kind = "FelixConfiguration";
  const document = { kind, apiVersion: "projectcalico.org/v3", metadata: { name }, spec };
  await store.put(resourceKey({ kind, name }), JSON.stringify(document));
}

describe("a host with one network card", () => {
  test("becomes a node without being told its name or address, and keeps the name", async () => {
    const node = startNode();
    try {
      await eventually("ready", ready(), timeoutMs);
      const { metadata, spec } = JSON.parse((await store.get(nodeKey("host-a")))?.value ?? "{}");
      expect(metadata.name).toBe("host-a");
      expect(spec.bgp).toEqual({ ipv4Address: "10.7.0.11/24" });
      expect(spec.interfaces).toEqual([{ name: "eth0", addresses: ["10.7.0.11/24"] }]);
      expect(readFileSync(join(directory, "nodename"), "utf8")).toBe("host-a");
    } finally {
      await stop(node);
    }
    const renamed = startNode({ HOSTNAME: "other" });
    try {
      await eventually("ready", ready(), timeoutMs);
      expect(await store.get(nodeKey("other"))).toBeUndefined();
    } finally {
      await stop(renamed);
    }
  });

  test("56, 57, 55: health and metrics lie where the configuration says, and move with it", async () => {
    writeFileSync(join(directory, "felix.cfg"), "[global]\nHealthPort = 19099\nNonsense = 1\n");
    const node = startNode({ FELIX_PROMETHEUSMETRICSENABLED: "true", FELIX_PROMETHEUSMETRICSHOST: "127.0.0.1" });
    try {
      await eventually("ready", ready(19_099), timeoutMs);
      expect(page("/liveness")).toBeUndefined();
      expect(page("/liveness", 19_099)?.text).toContain("Dataplane");
      expect(page("/debug/pprof", 9_091)?.status).toBe(404);
      expect(page("/readiness", 9_091)?.status).toBe(404);
      const metrics = page("/metrics", 9_091)?.text ?? "";
      for (const line of [
        "felix_resync_state 3",
        "felix_cluster_num_hosts 1",
        "felix_cluster_num_tiers 3",
        "felix_active_local_endpoints 0",
        'felix_host{host="host-a"} 1',
        'felix_int_dataplane_apply_time_seconds{quantile="0.99"}',
        "felix_resyncs_started 1",
        "felix_nft_errors 0",
        "felix_nft_list_errors 0",
        'felix_int_dataplane_messages{type="hostSettings"} 1',
        "felix_label_index_num_endpoints 0",
        "felix_log_errors 0",
        'felix_calc_graph_updates_processed{type="Node"}',
        "process_cpu_user_seconds_total",
      ]) {
        expect(metrics).toContain(line);
      }
      // The node before has left everything as it is wanted.
      expect(metrics).toContain("felix_nft_calls 0");
      expect(metrics).toMatch(/^felix_nft_list_calls [1-9]/m);
      expect(metrics).toMatch(/^felix_route_table_num_ifaces [1-9]/m);
      expect(metrics).toMatch(/^felix_route_table_resync_seconds_count [1-9]/m);
      expect(node.errors()).toContain("nonsense: is not known");
      await putFelix("default", { prometheusMetricsPort: 9_191, prometheusProcessMetricsEnabled: false });
      await eventually("moved", () => page("/metrics", 9_191)?.status === 200, timeoutMs);
      expect(page("/metrics", 9_191)?.text).not.toContain("process_cpu");
      expect(page("/metrics", 9_091)).toBeUndefined();
    } finally {
      await stop(node);
      rmSync(join(directory, "felix.cfg"));
      await putFelix("default", { reportingInterval: "0s" });
    }
  });

  test("1, 2, 10, 11: tells of itself and its endpoints, takes its own status along, and finds all again", async () => {
    const interfaceName = "calistatus";
    host.must("ip", "link", "add", interfaceName, "type", "veth", "peer", "name", "in0");
    const wep = newWorkloadEndpoint(
      {
        namespace: "default",
        node: "host-a",
        orchestrator: "mesos",
        endpoint: "eth0",
        workload: "web",
        interfaceName,
        addresses: [parseIpAddress("192.168.5.5")],
        profiles: [],
      },
      { uid: "u", nowMs: 0 },
    );
    await store.put(keyOfWorkloadEndpoint(wep), encode(wep));
    const status = join(directory, "calico", "endpoint-status");
    const file = join(status, "mesos default%2Fweb eth0");
    const settings = {
      FELIX_ENDPOINTREPORTINGENABLED: "true",
      FELIX_REPORTINGINTERVALSECS: "1",
      FELIX_ENDPOINTSTATUSPATHPREFIX: join(directory, "calico"),
    };
    const key = "/calico/felix/v2/no-region/host/host-a";
    const told = async () => (await store.get(`${key}/workload/mesos/default%2fweb/endpoint/eth0`))?.value;
    const node = startNode(settings);
    try {
      await eventually("down", async () => (await told()) === '{"status":"down"}', timeoutMs);
      expect(existsSync(file)).toBe(false);
      for (const name of [interfaceName, "in0"]) host.must("ip", "link", "set", name, "up");
      await eventually("up", async () => (await told()) === '{"status":"up"}', timeoutMs);
      await eventually("the file", () => existsSync(file), timeoutMs);
      expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ ifaceName: interfaceName });
      expect(host.must("sysctl", "-n", `net.ipv4.conf.${interfaceName}.proxy_arp`).trim()).toBe("1");
      await eventually("alive", async () => (await store.get(`${key}/status`)) !== undefined, timeoutMs);
      expect((await store.get(`${key}/status`))?.leaseId).not.toBe("0");
    } finally {
      await stop(node);
    }
    expect(await store.get(`${key}/status`)).toBeUndefined();
    expect(await store.get(`${key}/last_reported_status`)).toBeDefined();
    expect(await told()).toBe('{"status":"up"}');
    writeFileSync(join(status, "mesos default%2Fgone eth0"), "{}");
    const again = startNode(settings);
    try {
      await eventually("only what is true", () => readdirSync(status).length === 1, timeoutMs);
      await store.delete(keyOfWorkloadEndpoint(wep));
      await eventually(
        "nothing",
        async () => (await told()) === undefined && readdirSync(status).length === 0,
        timeoutMs,
      );
    } finally {
      await stop(again);
    }
  });

  test("lets endpoints ask their host for DHCP, DNS and metadata once the cluster is an OpenStack, and no more when it is none", async () => {
    const node = startNode({ FELIX_METADATAADDR: "localhost", FELIX_METADATAPORT: "8700" });
    const table = () => host.run(["nft", "list", "table", "inet", "margay"]).stdout;
    try {
      await eventually("ready", ready(), timeoutMs);
      expect(table()).not.toContain("udp dport 53");
      const before = (await store.get(clusterInformationKey))?.value ?? "";
      const { spec, ...rest } = JSON.parse(before);
      const clusterType = `${spec.clusterType},OpenStack`;
      await store.put(clusterInformationKey, JSON.stringify({ ...rest, spec: { ...spec, clusterType } }));
      await eventually("DNS is open", () => table().includes("udp dport 53"), timeoutMs);
      await eventually("the name is known", () => table().includes("dnat ip to 127.0.0.1:8700"), timeoutMs);
      await store.put(clusterInformationKey, before);
      await eventually("DNS is closed", () => !/udp dport 53|dnat/.test(table()), timeoutMs);
    } finally {
      await stop(node);
    }
    const told = startNode({ FELIX_CLUSTERTYPE: "openstack", FELIX_METADATAADDR: "none" });
    try {
      await eventually("DNS is open", () => table().includes("udp dport 53"), timeoutMs);
      expect(table()).not.toContain("dnat");
    } finally {
      await stop(told);
    }
  });

  test("an address that changes is told, a Node that is deleted comes back", async () => {
    const node = startNode({ IP: "autodetect", AUTODETECT_POLL_INTERVAL: "1" });
    const address = async () => JSON.parse((await store.get(nodeKey("host-a")))?.value ?? "{}").spec?.bgp?.ipv4Address;
    try {
      await eventually("ready", ready(), timeoutMs);
      await store.delete(nodeKey("host-a"));
      await eventually("back", async () => (await address()) === "10.7.0.11/24", timeoutMs);
      // In this order: with the first address of a subnet the kernel takes the others away.
      host.must("ip", "address", "delete", "10.7.0.11/24", "dev", "eth0");
      host.must("ip", "address", "add", "10.7.0.12/24", "dev", "eth0");
      await eventually("moved", async () => (await address()) === "10.7.0.12/24", timeoutMs);
    } finally {
      await stop(node);
    }
  });
});

const refused: readonly [env: Readonly<Record<string, string>>, words: readonly string[], text: string][] = [
  [
    { CALICO_NETWORKING_BACKEND: "bird" },
    [],
    "CALICO_NETWORKING_BACKEND: bird: the node writes the routes to other hosts",
  ],
  [
    { IP: "autodetect", IP_AUTODETECTION_METHOD: "interface=wlan.*" },
    [],
    "no IPv4 address of this host fits interface=wlan.*; its interfaces",
  ],
  [
    { FELIX_DEFAULTENDPOINTTOHOSTACTION: "PASS" },
    [],
    'environment: defaultendpointtohostaction: "PASS" cannot be read',
  ],
  [{ FELIX_METADATAADDR: "fd00::1" }, [], "is neither an IPv4 address, a host name nor None"],
  [{}, ["--health-port=0"], '--health-port: "0" is no port'],
  [{ IP: "none" }, [], "this host has neither an IPv4 nor an IPv6 address"],
];
for (const [env, words, text] of refused) {
  test(`refuses to start with ${JSON.stringify(env)} ${words.join(" ")}`, async () => {
    const node = startNode(env, ...words);
    expect(await node.process.exited).toBeGreaterThan(0);
    expect(node.errors()).toContain(text);
  });
}
