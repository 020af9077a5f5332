/** What app documents of every generation become, and what is refused with which words. */

import { expect, test } from "bun:test";
import { Refusal } from "../refusal.ts";
import { defaultSettings } from "../settings.ts";
import type { App } from "./app.ts";
import { type ChangeContext, createdApp, rollbackVersion, specFrom, updatedApp } from "./app-change.ts";
import { type AppId, parseAppId, timestamp } from "./app-id.ts";
import { readAppDocument } from "./app-input.ts";
import { appJson } from "./app-json.ts";

const context: ChangeContext = { rules: defaultSettings.rules, usedServicePorts: new Set() };
const now = timestamp(1_780_000_000_000);
const later = timestamp(1_780_000_001_000);

function create(document: Record<string, unknown>, more: Partial<ChangeContext> = {}): App {
  const parsed = parseAppId(String(document.id ?? "app"));
  if (!parsed.ok) throw new Error(parsed.error);
  return createdApp(
    parsed.id,
    specFrom(parsed.id, readAppDocument(document), undefined, undefined, { ...context, ...more }),
    now,
  );
}

function update(app: App, document: Record<string, unknown>, more: Partial<ChangeContext> = {}): App {
  return updatedApp(app, specFrom(app.id, readAppDocument(document), app, app, { ...context, ...more }), later);
}

function refusalOf(run: () => unknown): { status: number; body: Record<string, unknown> } {
  try {
    run();
  } catch (error) {
    if (error instanceof Refusal) return { status: error.status, body: error.body };
    throw error;
  }
  throw new Error("nothing was refused");
}

const dockerApp = { id: "web", container: { type: "DOCKER", docker: { image: "nginx" } } };
const healthChecks = [{ protocol: "HTTP", path: "/", port: 80 }];

const canonical = {
  networks: [{ mode: "container", name: "my-calico-net", labels: {}, groups: [] }],
  portMappings: [
    { containerPort: 0, servicePort: 10_000, protocol: "tcp", labels: {}, networkNames: [], name: "default" },
  ],
};

for (const [name, document] of [
  [
    "docker.network USER with ipAddress.networkName",
    {
      ipAddress: { networkName: "my-calico-net" },
      container: { type: "DOCKER", docker: { image: "nginx", network: "USER" } },
    },
  ],
  [
    "parameter net with an empty ipAddress",
    {
      ipAddress: {},
      container: { type: "DOCKER", docker: { image: "nginx", parameters: [{ key: "net", value: "my-calico-net" }] } },
    },
  ],
  [
    "parameter network alone",
    {
      container: {
        type: "DOCKER",
        docker: { image: "nginx", parameters: [{ key: "network", value: "my-calico-net" }] },
      },
    },
  ],
  [
    "parameter net over docker.network HOST",
    {
      container: {
        type: "DOCKER",
        docker: { image: "nginx", network: "HOST", parameters: [{ key: "net", value: "my-calico-net" }] },
      },
    },
  ],
  [
    "networks of 1.5",
    {
      networks: [{ mode: "container", name: "my-calico-net" }],
      container: { type: "DOCKER", docker: { image: "nginx" } },
    },
  ],
] as const) {
  test(`the network of an app is the same in every generation: ${name} (checklist 34, 35, 107)`, () => {
    const app = create({ id: "my-docker-task", healthChecks, ...document });
    expect(app.networks).toEqual(canonical.networks as App["networks"]);
    expect(app.container?.portMappings).toEqual(
      canonical.portMappings as NonNullable<App["container"]>["portMappings"],
    );
    expect(JSON.stringify(appJson(app))).not.toContain('"ipAddress"');
    expect(app.healthChecks[0]).toMatchObject({ port: 80, protocol: "HTTP" });
    expect(app.healthChecks[0]).not.toHaveProperty("portIndex");
  });
}

test("BRIDGE with mappings becomes container/bridge with host port 0 (checklist 33)", () => {
  const app = create({
    id: "b",
    container: { type: "DOCKER", docker: { image: "i", network: "BRIDGE", portMappings: [{ containerPort: 80 }] } },
  });
  expect(app.networks.map(({ mode }) => mode)).toEqual(["container/bridge"]);
  expect(app.container?.portMappings?.[0]).toMatchObject({ containerPort: 80, hostPort: 0, servicePort: 10_000 });
});

test("discovery ports become mappings without host port on the Mesos containerizer (checklist 36)", () => {
  const discovery = { ports: [{ number: 80, name: "http", protocol: "tcp" }] };
  const app = create({
    id: "m",
    cmd: "x",
    ipAddress: { networkName: "n", discovery, labels: { a: "b" }, groups: ["web"] },
  });
  expect(app.container?.type).toBe("MESOS");
  expect(app.container?.portMappings?.[0]).toMatchObject({ containerPort: 80, name: "http" });
  expect(app.container?.portMappings?.[0]).not.toHaveProperty("hostPort");
  expect(app.networks[0]).toEqual({ mode: "container", name: "n", labels: { a: "b" }, groups: ["web"] });
});

test("an explicit empty list of mappings stays empty, an absent one gets a default (checklist 39)", () => {
  const networks = [{ mode: "container", name: "n" }];
  const none = create({ id: "m", networks, container: { type: "DOCKER", docker: { image: "i" }, portMappings: [] } });
  expect(none.container?.portMappings).toEqual([]);
  expect(create({ ...dockerApp, networks }).container?.portMappings).toHaveLength(1);
});

test("an unnamed container network takes the default name (checklist 35)", () => {
  const rules = { ...defaultSettings.rules, defaultNetworkName: "standard" };
  expect(create({ ...dockerApp, ipAddress: {} }, { rules }).networks[0]?.name).toBe("standard");
});

test("service ports: zeros get free ones, an update keeps those it had (checklist 31, 32)", () => {
  const app = create({ id: "p", cmd: "x", ports: [0, 10_000] }, { usedServicePorts: new Set([10_001]) });
  expect(app.portDefinitions?.map(({ port }) => port)).toEqual([10_002, 10_000]);
  const again = update(app, { ports: [0, 0, 0] });
  expect(again.portDefinitions?.map(({ port }) => port)).toEqual([10_002, 10_000, 10_001]);
});

test("uris become fetch, with extract by the kind of file (checklist 24)", () => {
  const app = create({ id: "f", cmd: "x", uris: ["http://r/a.tgz?sig=1", "http://r/b.json"] });
  expect(app.fetch.map(({ extract }) => extract)).toEqual([true, false]);
});

test("what an old GET printed is accepted by PUT: equal pairs of old and new fields", () => {
  const app = create({
    id: "e",
    cmd: "x",
    uris: ["http://r/a"],
    fetch: [{ uri: "http://r/a" }],
    ports: [10_000],
    portDefinitions: [{ port: 10_000, protocol: "tcp" }],
    args: null,
    user: null,
  });
  expect(app.fetch).toHaveLength(1);
  expect(app.portDefinitions).toHaveLength(1);
});

for (const [name, document] of [
  [
    "host",
    { id: "a", cmd: "sleep 1", constraints: [["hostname", "UNIQUE"]], labels: { x: "y" }, dependencies: ["../db"] },
  ],
  ["container", { ...dockerApp, ipAddress: { networkName: "n" }, healthChecks, taskKillGracePeriodSeconds: 3 }],
  [
    "bridge",
    {
      id: "a",
      container: { docker: { image: "i", network: "BRIDGE", portMappings: [{ containerPort: 80, name: "http" }] } },
      healthChecks: [{ portIndex: 0 }],
    },
  ],
  [
    "parameter net",
    {
      ...dockerApp,
      container: { type: "DOCKER", docker: { image: "i", parameters: [{ key: "net", value: "n" }] } },
      ipAddress: {},
    },
  ],
] as const) {
  test(`what GET prints can be PUT unchanged and changes nothing: ${name} (checklist 5, 106)`, () => {
    const app = create(document);
    const { version: _version, versionInfo: _info, ...printed } = appJson(app);
    expect(update(app, printed)).toBe(app);
    const replaced = specFrom(app.id, readAppDocument(printed), undefined, app, context);
    expect(updatedApp(app, replaced, later)).toBe(app);
  });
}

test("a partial update keeps what it does not name; null clears (checklist 7, 8)", () => {
  const app = create({ id: "a", cmd: "x", mem: 64, labels: { a: "b" }, user: "u", instances: 3 });
  expect(update(app, { cpus: 2 })).toMatchObject({ mem: 64, cpus: 2, labels: { a: "b" }, user: "u", instances: 3 });
  expect(update(app, { user: null })).not.toHaveProperty("user");
  expect(update(app, { labels: {} }).labels).toEqual({});
});

test("only a change of configuration moves lastConfigChangeAt and replaces instances", () => {
  const app = create({ id: "a", cmd: "x" });
  const scaled = update(app, { instances: 2 });
  expect(scaled).toMatchObject({
    version: later,
    replaceBefore: now,
    versionInfo: { lastScalingAt: later, lastConfigChangeAt: now },
  });
  const changed = update(app, { cmd: "y" });
  expect(changed).toMatchObject({
    replaceBefore: later,
    versionInfo: { lastScalingAt: later, lastConfigChangeAt: later },
  });
});

test("an app can move from the host's network to another and back (checklist 38)", () => {
  const app = create({ ...dockerApp });
  const moved = update(app, { networks: [{ mode: "container", name: "n_1" }] });
  expect(moved).not.toHaveProperty("portDefinitions");
  expect(moved.container?.portMappings).toHaveLength(1);
  const back = update(moved, { networks: [{ mode: "host" }] });
  expect(back.container).not.toHaveProperty("portMappings");
  expect(back.portDefinitions).toHaveLength(1);
  expect(update(moved, { networks: [{ mode: "container", name: "other" }] }).networks[0]?.name).toBe("other");
});

const wrongTypes: readonly [name: string, document: unknown, path: string, error: string][] = [
  ["instances as text", { id: "a", instances: "2" }, "/instances", "error.expected.jsnumber"],
  ["half an instance (checklist 21)", { id: "a", instances: 1.5 }, "/instances", "error.expected.int"],
  ["a document that is a list", [], "/", "error.expected.jsobject"],
  ["env with a number", { id: "a", env: { A: 1 } }, "/env/A", "error.expected.jsstring"],
  ["a container that is text", { id: "a", container: "nginx" }, "/container", "error.expected.jsobject"],
  [
    "a port that is text",
    { id: "a", healthChecks: [{ port: "80" }] },
    "/healthChecks(0)/port",
    "error.expected.jsnumber",
  ],
  ["ports that are no list", { id: "a", ports: 80 }, "/ports", "error.expected.jsarray"],
  ["a constraint that is no list", { id: "a", constraints: ["x"] }, "/constraints(0)", "error.expected.jsarray"],
  [
    "privileged as text",
    { id: "a", container: { docker: { privileged: "no" } } },
    "/container/docker/privileged",
    "error.expected.jsboolean",
  ],
  ["fetch without uri", { id: "a", fetch: [{}] }, "/fetch(0)/uri", "error.path.missing"],
];
for (const [name, document, path, error] of wrongTypes) {
  test(`wrong types are 400 with path and code: ${name}`, () => {
    const refused = refusalOf(() => readAppDocument(document));
    expect(refused).toEqual({ status: 400, body: { message: "Invalid JSON", details: [{ path, errors: [error] }] } });
  });
}

const invalid: readonly [name: string, document: Record<string, unknown>, path: string, error: string][] = [
  [
    "nothing to run (checklist 23)",
    { id: "a" },
    "/",
    "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
  ],
  [
    "cmd and args (checklist 23)",
    { id: "a", cmd: "x", args: ["y"] },
    "/",
    "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
  ],
  ["negative cpus (checklist 22)", { id: "a", cmd: "x", cpus: -1 }, "/cpus", "got -1.0, expected 0.0 or more"],
  ["negative mem (checklist 22)", { id: "a", cmd: "x", mem: -0.5 }, "/mem", "got -0.5, expected 0.0 or more"],
  [
    "negative instances (checklist 22)",
    { id: "a", cmd: "x", instances: -2 },
    "/instances",
    "got -2, expected 0 or more",
  ],
  ["backoff factor", { id: "a", cmd: "x", backoffFactor: 0.5 }, "/backoffFactor", "got 0.5, expected 1.0 or more"],
  [
    "both network APIs (checklist 37)",
    { ...dockerApp, networks: [{ mode: "host" }], ipAddress: {} },
    "/",
    "must not specify both networks and ipAddress",
  ],
  [
    "docker.network and networks (checklist 37)",
    { id: "a", networks: [{ mode: "host" }], container: { docker: { image: "i", network: "HOST" } } },
    "/",
    "must not specify both container.docker.network and networks",
  ],
  [
    "legacy NONE (checklist 37)",
    { id: "a", container: { docker: { image: "i", network: "NONE" } } },
    "/container/docker/network",
    "unsupported docker network type None",
  ],
  [
    "unnamed network (checklist 35)",
    { ...dockerApp, ipAddress: {} },
    "/networks",
    "Network name must be specified when container network is selected.",
  ],
  [
    "docker with discovery (checklist 36)",
    { ...dockerApp, ipAddress: { networkName: "n", discovery: { ports: [{ number: 1 }] } } },
    "/ipAddress",
    "ipAddress/discovery is not allowed for Docker containers",
  ],
  [
    "mappings in host mode (checklist 40)",
    {
      id: "a",
      networks: [{ mode: "host" }],
      container: { docker: { image: "i" }, portMappings: [{ containerPort: 80 }] },
    },
    "/container",
    "portMappings are not allowed with host-networking",
  ],
  [
    "portDefinitions off the host (checklist 40)",
    { ...dockerApp, networks: [{ mode: "container", name: "n" }], portDefinitions: [{ port: 1 }] },
    "/",
    "portDefinitions are only allowed with host-networking",
  ],
  [
    "two networks for Docker (checklist 41)",
    {
      ...dockerApp,
      networks: [
        { mode: "container", name: "a" },
        { mode: "container", name: "b" },
      ],
    },
    "/",
    "may only specify a single container network when using the Docker container engine",
  ],
  [
    "mapping to an unknown network (checklist 41)",
    {
      id: "a",
      networks: [{ mode: "container", name: "n" }],
      container: { docker: { image: "i" }, portMappings: [{ networkNames: ["x"] }] },
    },
    "/container/portMappings(0)/networkNames(0)",
    "got x, expected one of: [n]",
  ],
  ["ports twice", { id: "a", cmd: "x", ports: [80, 80] }, "/portDefinitions", "Ports must be unique."],
  [
    "ports against portDefinitions",
    { id: "a", cmd: "x", ports: [80], portDefinitions: [{ port: 81 }] },
    "/",
    "cannot specify both ports and port definitions",
  ],
  [
    "ipAddress with ports",
    { id: "a", cmd: "x", ipAddress: { networkName: "n" }, ports: [80] },
    "/",
    "cannot specify both an IP address and port",
  ],
  [
    "uris against fetch (checklist 24)",
    { id: "a", cmd: "x", uris: ["http://a"], fetch: [{ uri: "http://b" }] },
    "/uris",
    "may not be set in conjunction with fetch",
  ],
  [
    "COMMAND without command (checklist 52)",
    { id: "a", cmd: "x", healthChecks: [{ protocol: "COMMAND" }] },
    "/healthChecks(0)/command",
    "COMMAND health checks must have a command",
  ],
  [
    "bad portIndex (checklist 52)",
    { id: "a", cmd: "x", healthChecks: [{ portIndex: 3 }] },
    "/healthChecks(0)",
    "Health check port indices must address an element of the ports array or container port mappings.",
  ],
  [
    "port and portIndex",
    { id: "a", cmd: "x", healthChecks: [{ port: 80, portIndex: 0 }] },
    "/healthChecks(0)",
    "HealthCheck must specify either a port or a portIndex",
  ],
  [
    "two Mesos checks (checklist 52)",
    { id: "a", cmd: "x", healthChecks: [{ protocol: "MESOS_HTTP" }, { protocol: "MESOS_TCP" }] },
    "/",
    "AppDefinition can contain at most one Mesos health check",
  ],
  [
    "constraint operator",
    { id: "a", cmd: "x", constraints: [["hostname", "NEAR"]] },
    "/constraints(0)",
    "Operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS",
  ],
  [
    "UNIQUE with value",
    { id: "a", cmd: "x", constraints: [["hostname", "unique", "x"]] },
    "/constraints(0)",
    "UNIQUE does not accept a value",
  ],
  [
    "MAX_PER without number",
    { id: "a", cmd: "x", constraints: [["hostname", "MAX_PER", "x"]] },
    "/constraints(0)",
    "MAX_PER requires an integer value",
  ],
  [
    "LIKE with a bad pattern",
    { id: "a", cmd: "x", constraints: [["hostname", "LIKE", "("]] },
    "/constraints(0)",
    "is not a valid regular expression",
  ],
  [
    "constraint of one field",
    { id: "a", cmd: "x", constraints: [["hostname"]] },
    "/constraints(0)",
    "Each constraint must have either 2 or 3 fields",
  ],
  [
    "secrets without the feature (checklist 25)",
    { id: "a", cmd: "x", env: { A: { secret: "s" } } },
    "/env",
    "use of secret-references in the environment requires the secrets feature to be enabled",
  ],
  ["unknown role (checklist 28)", { id: "a", cmd: "x", role: "prod" }, "/role", "got prod, expected one of: [*]"],
  [
    "unreachable times",
    { id: "a", cmd: "x", unreachableStrategy: { inactiveAfterSeconds: 9, expungeAfterSeconds: 3 } },
    "/unreachableStrategy",
    "inactiveAfterSeconds (9) must be less or equal to expungeAfterSeconds, which is 3",
  ],
  [
    "readiness of an unknown port",
    { id: "a", cmd: "x", readinessChecks: [{ portName: "x" }] },
    "/readinessChecks(0)/portName",
    "No port definition reference for portName x",
  ],
  [
    "upgrade strategy out of range",
    { id: "a", cmd: "x", upgradeStrategy: { minimumHealthCapacity: 2 } },
    "/upgradeStrategy/minimumHealthCapacity",
    "got 2.0, expected between 0.0 and 1.0",
  ],
  [
    "itself as dependency",
    { id: "a", cmd: "x", dependencies: ["/a"] },
    "/",
    "Dependency graph has cyclic dependencies.",
  ],
  [
    "a volume without host path",
    { id: "a", container: { docker: { image: "i" }, volumes: [{ containerPath: "/x", mode: "RW" }] } },
    "/container/volumes(0)/hostPath",
    "must not be empty",
  ],
  [
    "net parameter against networks",
    {
      id: "a",
      networks: [{ mode: "container", name: "n" }],
      container: { docker: { image: "i", parameters: [{ key: "net", value: "m" }] } },
    },
    "/container/docker/parameters(0)/value",
    "got m, expected n: the network of the app",
  ],
];
for (const [name, document, path, error] of invalid) {
  test(`what makes no sense is 422 with path and text: ${name}`, () => {
    const refused = refusalOf(() => create(document));
    expect(refused.status).toBe(422);
    expect(refused.body.message).toBe("Object is not valid");
    expect(refused.body.details).toContainEqual({ path, errors: expect.arrayContaining([error]) });
  });
}

for (const [where, document, path] of [
  ["ipAddress", { ...dockerApp, ipAddress: { networkName: "nope" } }, "/ipAddress/networkName"],
  ["networks", { ...dockerApp, networks: [{ mode: "container", name: "nope" }] }, "/networks(0)/name"],
  [
    "the net parameter",
    { id: "w", ipAddress: {}, container: { docker: { image: "i", parameters: [{ key: "net", value: "nope" }] } } },
    "/container/docker/parameters(0)/value",
  ],
] as const) {
  test(`an unknown network is refused where it was named: ${where}`, () => {
    const known = { knownNetworks: new Set(["my-calico-net"]) };
    const refused = refusalOf(() => create(document, known));
    expect(refused.status).toBe(422);
    expect(refused.body.details).toEqual([
      { path, errors: ["network nope does not exist on the cluster, expected one of: my-calico-net"] },
    ]);
    expect(update(create(document), { instances: 4 }, known).instances).toBe(4);
  });
}

const ids: readonly [text: string, result: string][] = [
  ["web", "/web"],
  ["/prod//web", "/prod/web"],
  ["/prod/../web", "/web"],
  ["/a.b/c-d", "/a.b/c-d"],
  ["", "Path must contain at least one path element"],
  ["/", "Path must contain at least one path element"],
  ["/x/tasks", "must not end with any of the following reserved keywords: restart, tasks, versions"],
  ["Web", "must fully match regular expression"],
  ["web_1", "must fully match regular expression"],
  ["-web", "must fully match regular expression"],
  ["a b", "must fully match regular expression"],
  ["a".repeat(300), "must not be longer than 200 characters"],
];
for (const [text, result] of ids) {
  test(`app ids: "${text.slice(0, 20)}" is ${result.slice(0, 30)}`, () => {
    const parsed = parseAppId(text);
    if (result.startsWith("/")) expect(parsed).toEqual({ ok: true, id: result as AppId });
    else expect(parsed.ok ? "accepted" : parsed.error).toStartWith(result);
  });
}

test("a version may only stand beside the id (checklist 10)", () => {
  expect(rollbackVersion(readAppDocument({ version: now, id: "a" }))).toBe(now);
  expect(refusalOf(() => rollbackVersion(readAppDocument({ version: now, cpus: 1 })))).toEqual({
    status: 422,
    body: { message: "The 'version' field may only be combined with the 'id' field." },
  });
});
