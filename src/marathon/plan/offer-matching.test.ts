/** Which places instances get, what they take there, and what Mesos is asked to run. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Offer } from "../../mesos/protocol/offer.ts";
import { containsResources, normalizeResources } from "../../mesos/protocol/resources.ts";
import type { App } from "../app/app.ts";
import { createdApp, specFrom } from "../app/app-change.ts";
import { type AppId, instanceIdFor, taskIdFor, timestamp } from "../app/app-id.ts";
import { readAppDocument } from "../app/app-input.ts";
import { defaultSettings } from "../settings.ts";
import { acceptsPlace, attributeText, type Place, placeOf } from "./constraints.ts";
import type { Instance } from "./instance.ts";
import { matchOffers } from "./offer-matching.ts";
import { taskInfo } from "./task-info.ts";

const version = timestamp(1_780_000_000_000);
const options = { instancesPerOfferMax: 100, random: () => 0.5 };

function appOf(document: Record<string, unknown>): App {
  const id = "/web" as AppId;
  const context = { rules: defaultSettings.rules, usedServicePorts: new Set<number>() };
  return createdApp(
    id,
    specFrom(id, readAppDocument({ cmd: "x", cpus: 1, mem: 100, ...document }), undefined, undefined, context),
    version,
  );
}

function offerOf(hostname: string, cpus = 4, mem = 1000, ports: readonly [number, number] = [31_000, 31_009]): Offer {
  return {
    id: { value: `o-${hostname}` },
    framework_id: { value: "f" },
    agent_id: { value: `a-${hostname}` },
    hostname,
    resources: [
      { name: "cpus", type: "SCALAR", scalar: { value: cpus } },
      { name: "mem", type: "SCALAR", scalar: { value: mem } },
      { name: "ports", type: "RANGES", ranges: { range: [{ begin: ports[0], end: ports[1] }] } },
    ],
  };
}

function instanceOn(hostname: string, name: string, app: App): Instance {
  const id = instanceIdFor(app.id, name);
  return {
    id,
    appId: app.id,
    taskId: taskIdFor(id),
    runSpecVersion: version,
    goal: "Running",
    condition: "Running",
    state: "TASK_RUNNING",
    agentId: `a-${hostname}`,
    hostname,
    attributes: placeOf(hostname, [], undefined),
    role: "*",
    hostPorts: [],
    ports: [],
    networkAddresses: [],
    stagedAtMs: 0,
  };
}

const hostsOf = (matching: ReturnType<typeof matchOffers>) =>
  matching.placements.map(({ offer }) => offer.hostname).sort();

test("without constraints instances spread over the hosts at hand", () => {
  const app = appOf({ ports: [] });
  const offers = ["host1", "host2", "host3"].map((host) => offerOf(host));
  expect(hostsOf(matchOffers([{ app, count: 3 }], offers, [], options))).toEqual(["host1", "host2", "host3"]);
  const there = [instanceOn("host2", "a", app)];
  expect(hostsOf(matchOffers([{ app, count: 2 }], offers, there, options))).toEqual(["host1", "host3"]);
});

test("a full host does not stop the others", () => {
  const app = appOf({ ports: [] });
  const matching = matchOffers([{ app, count: 3 }], [offerOf("host1", 0.5), offerOf("host2")], [], options);
  expect(hostsOf(matching)).toEqual(["host2", "host2", "host2"]);
  expect(matching.rejections.map(({ offer, reasons }) => [offer.hostname, reasons])).toEqual([
    ["host1", ["InsufficientCpus"]],
  ]);
});

test("reasons are all told, in the order of the funnel", () => {
  const app = appOf({ cpus: 100, mem: 1e6, disk: 1, ports: [0, 0], constraints: [["hostname", "LIKE", "nowhere"]] });
  const [rejection] = matchOffers(
    [{ app, count: 1 }],
    [offerOf("host1", 1, 1, [31_000, 31_000])],
    [],
    options,
  ).rejections;
  expect(rejection?.reasons).toEqual([
    "UnfulfilledConstraint",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientPorts",
  ]);
});

test("requirePorts takes exactly the ports, in order, or none (checklist 42)", () => {
  const app = appOf({ ports: [31_005, 31_002], requirePorts: true });
  const [placement] = matchOffers([{ app, count: 1 }], [offerOf("host1")], [], options).placements;
  expect(placement?.hostPorts).toEqual([31_005, 31_002]);
  expect(matchOffers([{ app, count: 2 }], [offerOf("host1")], [], options).placements).toHaveLength(1);
});

test("fixed and dynamic host ports mix; a container network takes none (checklist 43)", () => {
  const mixed = appOf({
    cmd: null,
    container: {
      docker: {
        image: "i",
        network: "BRIDGE",
        portMappings: [
          { containerPort: 80, hostPort: 31_004 },
          { containerPort: 0, hostPort: 0 },
        ],
      },
    },
  });
  const [placement] = matchOffers([{ app: mixed, count: 1 }], [offerOf("host1")], [], options).placements;
  expect(placement?.hostPorts[0]).toBe(31_004);
  expect(placement?.hostPorts[1]).not.toBe(31_004);
  const own = appOf({
    cmd: null,
    ipAddress: { networkName: "n" },
    container: { docker: { image: "i", network: "USER" } },
  });
  const [alone] = matchOffers([{ app: own, count: 1 }], [offerOf("host1")], [], options).placements;
  expect(alone?.hostPorts).toEqual([]);
  expect(alone?.resources.map(({ name }) => name)).toEqual(["cpus", "mem"]);
  expect(alone?.ports[0]).toBeGreaterThanOrEqual(1025);
});

test("property: what is placed fits into its offers, and no port is given twice", () => {
  const wish = fc.record({
    count: fc.integer({ min: 0, max: 6 }),
    cpus: fc.double({ min: 0, max: 2, noNaN: true }),
    ports: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(
      fc.array(wish, { maxLength: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (wishes, hosts, random) => {
        const offers = Array.from({ length: hosts }, (_none, index) => offerOf(`host${index}`, 3, 500));
        const asked = wishes.map(({ count, cpus, ports }) => ({
          app: appOf({ cpus, ports: Array(ports).fill(0) }),
          count,
        }));
        const { placements } = matchOffers(asked, offers, [], { instancesPerOfferMax: 100, random: () => random });
        for (const offer of offers) {
          const here = placements.filter((placement) => placement.offer === offer);
          expect(
            containsResources(
              normalizeResources(offer.resources ?? []),
              normalizeResources(here.flatMap(({ resources }) => resources)),
            ),
          ).toBe(true);
          const ports = here.flatMap(({ hostPorts }) => hostPorts);
          expect(new Set(ports).size).toBe(ports.length);
        }
      },
    ),
    { numRuns: 200 },
  );
});

const at = (hostname: string, more: Record<string, string> = {}): Place => ({
  ...placeOf(hostname, [], undefined),
  ...more,
});
const constraintCases: readonly [
  constraint: [string, string, string?],
  place: Place,
  placed: Place[],
  accepted: boolean,
][] = [
  [["hostname", "UNIQUE"], at("a"), [at("b")], true],
  [["hostname", "UNIQUE"], at("a"), [at("a")], false],
  [["@hostname", "UNIQUE"], at("a"), [at("a")], false],
  [["rack", "CLUSTER", "r1"], at("a", { rack: "r1" }), [], true],
  [["rack", "CLUSTER", "r1"], at("a", { rack: "r2" }), [], false],
  [["rack", "CLUSTER"], at("a", { rack: "r2" }), [at("b", { rack: "r1" })], false],
  [["rack", "CLUSTER"], at("a", { rack: "r2" }), [], true],
  [["rack", "GROUP_BY"], at("a", { rack: "r1" }), [at("b", { rack: "r1" })], true],
  [["rack", "GROUP_BY", "2"], at("a", { rack: "r1" }), [at("b", { rack: "r1" })], false],
  [["rack", "GROUP_BY", "2"], at("a", { rack: "r2" }), [at("b", { rack: "r1" })], true],
  [
    ["rack", "GROUP_BY", "2"],
    at("a", { rack: "r1" }),
    [at("b", { rack: "r1" }), at("c", { rack: "r1" }), at("d", { rack: "r2" })],
    false,
  ],
  [["rack", "LIKE", "r[12]"], at("a", { rack: "r1" }), [], true],
  [["rack", "LIKE", "r"], at("a", { rack: "r1" }), [], false],
  [["rack", "UNLIKE", "r[12]"], at("a", { rack: "r1" }), [], false],
  [["rack", "UNLIKE", "r[12]"], at("a"), [], true],
  [["rack", "LIKE", ".*"], at("a"), [], false],
  [["rack", "MAX_PER", "2"], at("a", { rack: "r1" }), [at("b", { rack: "r1" })], true],
  [["rack", "MAX_PER", "1"], at("a", { rack: "r1" }), [at("b", { rack: "r1" })], false],
  [["level", "IS", "10"], at("a", { level: "10" }), [], true],
  [["level", "IS", "10.0004"], at("a", { level: "10" }), [], true],
  [["level", "IS", "11"], at("a", { level: "10" }), [], false],
];
for (const [[field, operator, value], place, placed, accepted] of constraintCases) {
  const text = `${field} ${operator} ${value ?? ""}`.trim();
  test(`constraint ${text} with ${placed.length} placed ${accepted ? "accepts" : "refuses"} ${JSON.stringify(place)} (checklist 94)`, () => {
    const constraint = { field, operator, ...(value === undefined ? {} : { value }) };
    expect(acceptsPlace([constraint], place, placed)).toBe(accepted);
  });
}

test("attributes become text as constraints see them (checklist 94)", () => {
  expect(attributeText({ name: "x", type: "SCALAR", scalar: { value: 10 } })).toBe("10");
  expect(attributeText({ name: "x", type: "SCALAR", scalar: { value: 1.23456 } })).toBe("1.235");
  expect(
    attributeText({
      name: "x",
      type: "RANGES",
      ranges: {
        range: [
          { begin: 5, end: 6 },
          { begin: 1, end: 2 },
        ],
      },
    }),
  ).toBe("[1-2,5-6]");
  expect(attributeText({ name: "x", type: "TEXT", text: { value: "r1" } })).toBe("r1");
});

function infoOf(document: Record<string, unknown>) {
  const app = appOf(document);
  const [placement] = matchOffers([{ app, count: 1 }], [offerOf("host1")], [], options).placements;
  if (placement === undefined) throw new Error("no place");
  const instance = { ...instanceOn("host1", "i", app), hostPorts: placement.hostPorts, ports: placement.ports };
  return taskInfo(app, instance, placement.resources, {});
}

test("a task on a container network: USER, its name, the check delegated, no host ports", () => {
  const info = infoOf({
    cmd: null,
    container: { docker: { image: "nginx", network: "USER" } },
    ipAddress: { networkName: "my-calico-net", labels: { a: "b" } },
    healthChecks: [
      {
        protocol: "HTTP",
        path: "status",
        port: 80,
        gracePeriodSeconds: 300,
        intervalSeconds: 60,
        timeoutSeconds: 20,
        maxConsecutiveFailures: 0,
      },
    ],
  });
  expect(info.container?.docker).toMatchObject({ image: "nginx", network: "USER" });
  expect(info.container?.docker?.parameters).toEqual([{ key: "label", value: `MESOS_TASK_ID=${info.task_id.value}` }]);
  expect(info.container?.network_infos).toEqual([
    { name: "my-calico-net", labels: { labels: [{ key: "a", value: "b" }] } },
  ]);
  expect(info.health_check).toMatchObject({
    type: "HTTP",
    http: { port: 80, path: "/status", scheme: "http" },
    delay_seconds: 0,
    interval_seconds: 60,
    grace_period_seconds: 300,
    consecutive_failures: 4_294_967_295,
  });
  expect(info.resources?.some(({ name }) => name === "ports")).toBe(false);
  expect(info.command).toMatchObject({ shell: false });
  expect(info.command).not.toHaveProperty("value");
});

test("a bridged task: port mappings, checked by Marathon, environment of ports (checklist 45)", () => {
  const info = infoOf({
    cmd: "run",
    env: { PORT1: "mine" },
    labels: { "my.label": "v" },
    container: {
      docker: {
        image: "i",
        network: "BRIDGE",
        portMappings: [
          { containerPort: 80, name: "http" },
          { containerPort: 53, protocol: "udp,tcp" },
        ],
      },
    },
    healthChecks: [{ protocol: "HTTP", portIndex: 0 }],
    taskKillGracePeriodSeconds: 3,
  });
  expect(info.health_check).toBeUndefined();
  expect(info.container?.docker?.port_mappings).toEqual([
    { host_port: 31_005, container_port: 80, protocol: "tcp" },
    { host_port: 31_006, container_port: 53, protocol: "udp" },
    { host_port: 31_006, container_port: 53, protocol: "tcp" },
  ]);
  const variables = Object.fromEntries(
    (info.command?.environment?.variables ?? []).map(({ name, value }) => [name, value]),
  );
  expect(variables).toMatchObject({
    MARATHON_APP_ID: "/web",
    MARATHON_APP_DOCKER_IMAGE: "i",
    HOST: "host1",
    PORT: "31005",
    PORT0: "31005",
    PORT1: "mine",
    PORTS: "31005,31006",
    PORT_80: "31005",
    PORT_HTTP: "31005",
    PORT_53: "31006",
    MARATHON_APP_LABELS: "MY_LABEL",
    MARATHON_APP_LABEL_MY_LABEL: "v",
    MARATHON_APP_RESOURCE_CPUS: "1.0",
    MARATHON_APP_RESOURCE_MEM: "100.0",
    MARATHON_APP_RESOURCE_GPUS: "0",
  });
  expect(info.command).toMatchObject({ shell: true, value: "run" });
  expect(info.kill_policy).toEqual({ grace_period: { nanoseconds: 3_000_000_000 } });
});
