/** What a host tells of itself and its endpoints: in the store, in files, in objects that ask. */
import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { eventually } from "../../kernel/testing/test-namespaces.ts";
import { resourceKey } from "../../model/keys.ts";
import { encode } from "../../model/resource.ts";
import { keyOfWorkloadEndpoint, newWorkloadEndpoint } from "../../model/workload-endpoint.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import { dyingStore } from "../../store/testing/failing-store.ts";
import { type AgentSettings, agentSettings } from "../agent-settings.ts";
import { EndpointStatusFiles, statusFileName } from "./endpoint-status-files.ts";
import { type EndpointState, EndpointStatusKeys } from "./endpoint-status-keys.ts";
import { LocalEndpoints, type LocalWorkload } from "./local-endpoints.ts";
import { NodeStatusResources } from "./node-status-resources.ts";
import { ProcessStatus } from "./process-status.ts";

const host = "h-1";
const stamp = { uid: "u", nowMs: 0 };
const openStore = (clock = new TestClock()) => openSqliteStore({ path: ":memory:", clock });

function workload(name: string, node = host) {
  const endpoint = newWorkloadEndpoint(
    {
      namespace: "default",
      node,
      orchestrator: "mesos",
      endpoint: "eth0",
      workload: name,
      interfaceName: `cali${name}`,
      mac: "ee:ee:ee:ee:ee:ee",
      addresses: [parseIpAddress("10.65.1.5"), parseIpAddress("fd00::5")],
      profiles: [],
    },
    stamp,
  );
  return [keyOfWorkloadEndpoint(endpoint), encode(endpoint)] as const;
}

function hostEndpoint(name: string, node = host) {
  const kind = "HostEndpoint";
  const document = {
    kind,
    apiVersion: "projectcalico.org/v3",
    metadata: { name },
    spec: { node, interfaceName: "eth0" },
  };
  return [resourceKey({ kind, name }), JSON.stringify(document)] as const;
}

test("endpoints of this host are known by what is stored, and only readable ones", () => {
  const endpoints = new LocalEndpoints(host);
  const [key, value] = workload("web");
  for (const [k, v] of [
    [key, value],
    workload("other", "h-1-2"),
    workload("far", "h"),
    hostEndpoint("mine"),
  ] as const) {
    endpoints.update(k, v);
  }
  endpoints.update(...hostEndpoint("theirs", "h2"));
  endpoints.update("/calico/resources/v3/projectcalico.org/nodes/h-1", "{}");
  expect([...endpoints.all.values()]).toEqual([
    {
      kind: "workload",
      orchestrator: "mesos",
      workload: "default/web",
      endpoint: "eth0",
      interfaceName: "caliweb",
      mac: "ee:ee:ee:ee:ee:ee",
      ipv4Nets: ["10.65.1.5/32"],
      ipv6Nets: ["fd00::5/128"],
    },
    { kind: "host", name: "mine" },
  ]);
  endpoints.update(key, "{");
  endpoints.update(hostEndpoint("mine")[0], undefined);
  expect(endpoints.all.size).toBe(0);
});

/** Its calls as an object whose calls can be replaced. */
const storeOf = (store: Store): Store => dyingStore(store, 0, "before").store;

describe("the process", () => {
  async function reporting(store: Store, clock: TestClock, settings: { now: AgentSettings }) {
    const status = new ProcessStatus({ store, clock, log: silentLog, host: "h", settings: () => settings.now });
    const stop = new AbortController();
    const ended = status.run(stop.signal);
    return {
      async stop() {
        stop.abort();
        await ended;
      },
    };
  }
  const at = async (store: Store, key: string) => {
    const kv = await store.get(`/calico/felix/v2/no-region/host/h/${key}`);
    return kv && { ...JSON.parse(kv.value), leased: kv.leaseId !== "0" };
  };

  test("datastore 13: tells after 10 s and then each interval that it lives, leased and for good", async () => {
    const clock = new TestClock(Date.parse("2026-06-01T10:00:00Z"));
    await using store = await openStore(clock);
    const settings = { now: agentSettings({}) };
    const process = await reporting(store, clock, settings);
    await clock.advance(9_000);
    expect(await at(store, "status")).toBeUndefined();
    await clock.advance(1_500);
    const first = { time: "2026-06-01T10:00:10Z", uptime: 10, first_update: true };
    expect(await at(store, "status")).toEqual({ ...first, leased: true });
    expect(await at(store, "last_reported_status")).toEqual({ ...first, leased: false });
    await clock.advance(30_000);
    expect(await at(store, "status")).toEqual({
      time: "2026-06-01T10:00:40Z",
      uptime: 40,
      first_update: false,
      leased: true,
    });
    await process.stop();
    expect(await at(store, "status")).toBeUndefined();
    expect(await at(store, "last_reported_status")).toMatchObject({ uptime: 40 });
  });

  test("datastore 13: who stops reporting without a word is gone after the lease, and was there once", async () => {
    const clock = new TestClock();
    await using store = await openStore(clock);
    const settings = { now: agentSettings({ reportingInterval: "600s", reportingTTL: "90s" }) };
    const process = await reporting(store, clock, settings);
    await clock.advance(11_000);
    expect(await at(store, "status")).toBeDefined();
    await clock.advance(100_000); // the next report is far away
    expect(await at(store, "status")).toBeUndefined();
    expect(await at(store, "last_reported_status")).toBeDefined();
    await process.stop();
  });

  test("datastore 13: a report that is cut off when the process stops is taken along, if it was written after all", async () => {
    const clock = new TestClock();
    await using store = await openStore(clock);
    const cutOff: Store = {
      ...storeOf(store),
      transact: async (transaction, options) => {
        await store.transact(transaction);
        await new Promise((_, reject) =>
          options?.signal?.addEventListener("abort", () => reject(options.signal?.reason)),
        );
        throw new Error("unreachable");
      },
    };
    const process = await reporting(cutOff, clock, { now: agentSettings({}) });
    await clock.advance(11_000);
    expect(await at(store, "status")).toBeDefined();
    await process.stop();
    expect(await at(store, "status")).toBeUndefined();
  });

  test("interval 0, which start-up writes, says nothing and takes back what was said; switched on it goes on", async () => {
    const clock = new TestClock();
    await using store = await openStore(clock);
    const settings = { now: agentSettings({ reportingInterval: "0s" }) };
    const process = await reporting(store, clock, settings);
    await clock.advance(60_000);
    expect((await store.list("/calico/felix/")).kvs).toEqual([]);
    settings.now = agentSettings({ reportingInterval: "5s" });
    await clock.advance(2_000);
    expect(await at(store, "status")).toMatchObject({ first_update: true });
    settings.now = agentSettings({ reportingInterval: "0s" });
    await clock.advance(2_000);
    expect(await at(store, "status")).toBeUndefined();
    await process.stop();
  });
});

describe("endpoints in the store", () => {
  async function told(spec: Parameters<typeof agentSettings>[0], clock = new TestClock()) {
    const store = await openStore(clock);
    const endpoints = new LocalEndpoints(host);
    const states = new Map<string, EndpointState>();
    const live = { settings: agentSettings(spec), ready: true };
    const keys = new EndpointStatusKeys({
      store,
      clock,
      log: silentLog,
      host,
      settings: () => live.settings,
      endpoints: () => endpoints.all,
      stateOf: (key) => states.get(key) ?? "down",
      ready: () => live.ready,
    });
    const stop = new AbortController();
    let running: Promise<void> | undefined;
    return {
      clock,
      store,
      endpoints,
      states,
      live,
      start: () => {
        running = keys.run(stop.signal);
      },
      all: async () =>
        Object.fromEntries((await store.list("/calico/felix/")).kvs.map(({ key, value }) => [key, value])),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await running;
        await store[Symbol.asyncDispose]();
      },
    };
  }
  const webKey = `/calico/felix/v2/no-region/host/${host}/workload/mesos/default%2fweb/endpoint/eth0`;
  const hepKey = `/calico/felix/v1/host/${host}/endpoint/hep`;

  test("11, 2: each is told as it is, what changes within a delay is one write, what goes is taken back", async () => {
    await using all = await told({ endpointReportingEnabled: true });
    const [key, value] = workload("web");
    const [hep, hepValue] = hostEndpoint("hep");
    all.endpoints.update(key, value);
    all.endpoints.update(hep, hepValue);
    all.states.set(hep, "error");
    all.start();
    await all.clock.advance(2_000);
    expect(await all.all()).toEqual({ [webKey]: '{"status":"down"}', [hepKey]: '{"status":"error"}' });
    const before = (await all.store.list("/")).revision;
    all.states.set(key, "up");
    all.states.set(hep, "up");
    await all.clock.advance(2_000);
    expect(await all.all()).toEqual({ [webKey]: '{"status":"up"}', [hepKey]: '{"status":"up"}' });
    expect((await all.store.list("/")).revision).toBe(before + 1);
    await all.clock.advance(100_000);
    expect((await all.store.list("/")).revision).toBe(before + 1);
    all.endpoints.update(key, undefined);
    await all.clock.advance(2_000);
    expect(await all.all()).toEqual({ [hepKey]: '{"status":"up"}' });
  });

  test("11: wrong content, strange keys and what a former process left are put right", async () => {
    await using all = await told({ endpointReportingEnabled: true });
    const [key, value] = workload("web");
    all.endpoints.update(key, value);
    all.states.set(key, "up");
    const gone = `/calico/felix/v2/no-region/host/${host}/workload/mesos/default%2fgone/endpoint/eth0`;
    const others = `/calico/felix/v2/no-region/host/${host}-2/workload/mesos/default%2fweb/endpoint/eth0`;
    await all.store.put(gone, '{"status":"up"}');
    await all.store.put(others, '{"status":"up"}');
    await all.store.put(hepKey, "?");
    all.live.ready = false;
    all.start();
    await all.clock.advance(5_000);
    expect(Object.keys(await all.all())).toContain(gone); // not known to be gone yet
    all.live.ready = true;
    await all.clock.advance(2_000);
    expect(await all.all()).toEqual({ [webKey]: '{"status":"up"}', [others]: '{"status":"up"}' });
    await all.store.put(webKey, '{"status":"lie"}');
    await all.clock.advance(200_000);
    expect((await all.all())[webKey]).toBe('{"status":"up"}');
  });

  test("11: it is off by default, and switched off what was told is taken back", async () => {
    await using all = await told({});
    const [key, value] = workload("web");
    all.endpoints.update(key, value);
    await all.store.put(webKey, '{"status":"up"}');
    all.start();
    await all.clock.advance(3_000);
    expect(await all.all()).toEqual({});
    all.live.settings = agentSettings({ endpointReportingEnabled: true, openstackRegion: "eu" });
    await all.clock.advance(3_000);
    expect(Object.keys(await all.all())).toEqual([webKey.replace("no-region", "region-eu")]);
    all.live.settings = agentSettings({ openstackRegion: "eu" });
    await all.clock.advance(3_000);
    expect(await all.all()).toEqual({});
  });

  test("more endpoints than fit one transaction are told all the same", async () => {
    await using all = await told({ endpointReportingEnabled: true });
    for (let at = 0; at < 250; at++) all.endpoints.update(...workload(`w${at}`));
    all.start();
    await all.clock.advance(3_000);
    expect(Object.keys(await all.all())).toHaveLength(250);
  });
});

describe("endpoints as files", () => {
  async function written(prepare: (directory: string) => void = () => {}, ready = true) {
    const base = mkdtempSync(join(tmpdir(), "margay-status-"));
    const directory = join(base, "endpoint-status");
    prepare(directory);
    const endpoints = new LocalEndpoints(host);
    const states = new Map<string, EndpointState>();
    const live = { settings: agentSettings({ endpointStatusPathPrefix: base }), ready };
    const clock = new TestClock();
    const files = new EndpointStatusFiles({
      clock,
      log: silentLog,
      settings: () => live.settings,
      endpoints: () => endpoints.all,
      stateOf: (key) => states.get(key) ?? "down",
      ready: () => live.ready,
    });
    const stop = new AbortController();
    const running = files.run(stop.signal);
    return {
      base,
      directory,
      endpoints,
      states,
      live,
      /** Without those that are being written. */
      names: () =>
        (existsSync(directory) ? readdirSync(directory) : []).filter((file) => !file.endsWith(".new")).sort(),
      /** Time goes on, in steps, until it holds. */
      async until(what: string, holds: () => boolean) {
        files.changed();
        await eventually(what, async () => {
          await clock.advance(600);
          return holds();
        });
      },
      advance: (ms: number) => clock.advance(ms),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await running;
        files[Symbol.dispose]();
        rmSync(base, { recursive: true });
      },
    };
  }
  const name = "mesos default%2Fweb eth0";

  test("10: there only while the endpoint is up, with what plug-ins read", async () => {
    await using all = await written();
    const [key, value] = workload("web");
    all.endpoints.update(key, value);
    await all.until("the directory", () => existsSync(all.directory));
    expect(all.names()).toEqual([]);
    all.states.set(key, "up");
    await all.until("the file", () => all.names().length === 1);
    expect(all.names()).toEqual([name]);
    expect(readFileSync(join(all.directory, name), "utf8")).toBe(
      '{"ifaceName":"caliweb","mac":"ee:ee:ee:ee:ee:ee","ipv4Nets":["10.65.1.5/32"],"ipv6Nets":["fd00::5/128"],"bgpPeerName":""}',
    );
    expect(statSync(all.directory).mode & 0o777).toBe(0o755);
    expect(statSync(join(all.directory, name)).mode & 0o777).toBe(0o644);
    all.states.set(key, "down");
    await all.until("no file", () => all.names().length === 0);
    all.states.set(key, "up");
    await all.until("the file again", () => all.names().length === 1);
    all.endpoints.update(key, undefined);
    await all.until("no file again", () => all.names().length === 0);
  });

  test("10: stale ones go at a restart, true ones stay untouched, damaged ones are mended", async () => {
    let untouchedMs = 0;
    await using all = await written((directory) => {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, "mesos default%2Fgone eth0"), "{}");
      const text =
        '{"ifaceName":"caliweb","mac":"ee:ee:ee:ee:ee:ee","ipv4Nets":["10.65.1.5/32"],"ipv6Nets":["fd00::5/128"],"bgpPeerName":""}';
      writeFileSync(join(directory, name), text);
      writeFileSync(join(directory, "mesos default%2Fdb eth0"), "half");
      untouchedMs = statSync(join(directory, name)).mtimeMs;
    }, false);
    for (const each of ["web", "db"]) {
      const [key, value] = workload(each);
      all.endpoints.update(key, value);
      all.states.set(key, "up");
    }
    await all.advance(20_000);
    expect(all.names()).toHaveLength(3); // nothing is known yet
    all.live.ready = true;
    await all.until("the true ones", () => all.names().length === 2);
    await all.until("mended", () =>
      readFileSync(join(all.directory, "mesos default%2Fdb eth0"), "utf8").includes("db"),
    );
    expect(statSync(join(all.directory, name)).mtimeMs).toBe(untouchedMs);
    rmSync(join(all.directory, name));
    await all.until("written anew", () => all.names().includes(name));
  });

  test("switched off they go; in another directory they are from then on", async () => {
    await using all = await written();
    const [key, value] = workload("web");
    all.endpoints.update(key, value);
    all.states.set(key, "up");
    await all.until("the file", () => all.names().length === 1);
    const other = join(all.base, "other", "endpoint-status");
    all.live.settings = agentSettings({ endpointStatusPathPrefix: join(all.base, "other") });
    await all.until("moved", () => all.names().length === 0 && existsSync(join(other, name)));
    all.live.settings = agentSettings({ endpointStatusPathPrefix: "" });
    await all.until("gone", () => readdirSync(other).length === 0);
  });

  test("names are escaped as Go escapes a path", () => {
    const endpoint = { orchestrator: "k8s", workload: "a b/c:d@e+f(g)'h", endpoint: "$&=" } as LocalWorkload;
    expect(statusFileName(endpoint)).toBe("k8s a%20b%2Fc:d@e+f%28g%29%27h $&=");
  });
});

describe("objects that ask", () => {
  const key = resourceKey({ kind: "CalicoNodeStatus", name: "s" });
  const asking = (spec: object, status?: object) =>
    JSON.stringify({
      kind: "CalicoNodeStatus",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "s" },
      spec,
      status,
    });
  async function answering(value: string) {
    const clock = new TestClock(Date.parse("2026-06-01T10:00:00Z"));
    const store = await openStore(clock);
    const resources = new NodeStatusResources({
      store,
      clock,
      log: silentLog,
      host,
      routes: () => ({
        interfaceName: (index) => `eth${index}`,
        routes: [
          {
            destination: parseCidr("0.0.0.0/0"),
            kind: "gateway",
            gateway: parseIpAddress("10.0.0.1"),
            interfaceIndex: 0,
            metric: 0,
          },
          { destination: parseCidr("10.65.1.5/32"), kind: "link", interfaceIndex: 1, metric: 0 },
          { destination: parseCidr("10.65.1.0/26"), kind: "nowhere", interfaceIndex: 1, metric: 0 },
        ],
      }),
    });
    await store.put(key, value);
    const seen = async () => resources.update(key, await store.get(key));
    await seen();
    const stop = new AbortController();
    const running = resources.run(stop.signal);
    return {
      clock,
      store,
      seen,
      stored: async () => JSON.parse((await store.get(key))?.value ?? "{}"),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await running;
        await store[Symbol.asyncDispose]();
      },
    };
  }

  test("get what is so, as often as they say, and keep what others wrote", async () => {
    const spec = { node: host, classes: ["Agent", "BGP", "Routes"], updatePeriodSeconds: 10, later: 1 };
    await using all = await answering(asking(spec, { theirs: 1 }));
    await all.clock.advance(1_500);
    const answer = await all.stored();
    expect(answer.spec).toEqual(spec);
    expect(answer.status).toEqual({
      theirs: 1,
      lastUpdated: "2026-06-01T10:00:00Z",
      agent: { birdV4: { state: "NotReady" }, birdV6: { state: "NotReady" } },
      bgp: { numberEstablishedV4: 0, numberNotEstablishedV4: 0, numberEstablishedV6: 0, numberNotEstablishedV6: 0 },
      routes: {
        routesV4: [
          {
            type: "FIB",
            destination: "0.0.0.0/0",
            gateway: "10.0.0.1",
            interface: "eth0",
            learnedFrom: { sourceType: "Kernel" },
          },
          { type: "FIB", destination: "10.65.1.5/32", interface: "eth1", learnedFrom: { sourceType: "Direct" } },
        ],
        routesV6: [],
      },
    });
    await all.seen(); // what the watch brings back of our own write
    await all.clock.advance(5_000);
    expect((await all.stored()).status.lastUpdated).toBe("2026-06-01T10:00:00Z");
    await all.clock.advance(6_000);
    expect((await all.stored()).status.lastUpdated > "2026-06-01T10:00:09Z").toBe(true);
  });

  test("of other hosts, with period 0, or unreadable get nothing", async () => {
    const spec = { node: host, classes: ["Agent"], updatePeriodSeconds: 10 };
    for (const value of [asking({ ...spec, node: "h2" }), asking({ ...spec, updatePeriodSeconds: 0 }), "{"]) {
      await using all = await answering(value);
      await all.clock.advance(30_000);
      expect((await all.store.get(key))?.value).toBe(value);
    }
  });

  test("one that changed meanwhile is answered as it is then", async () => {
    const spec = { node: host, classes: ["Agent"], updatePeriodSeconds: 10 };
    await using all = await answering(asking(spec));
    await all.store.put(key, asking({ ...spec, classes: ["BGP"] }));
    await all.clock.advance(3_000);
    expect((await all.stored()).status).toBeUndefined();
    await all.seen();
    await all.clock.advance(3_000);
    expect(Object.keys((await all.stored()).status)).toEqual(["lastUpdated", "bgp"]);
  });
});
