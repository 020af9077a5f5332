/** `margay explain`: would this connection pass, what decides it, and does the kernel do what the resources say? */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseIpAddress } from "../base/addresses.ts";
import { type Clock, deadline, systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { DOCKER_HOST_DEFAULT, DockerEngine } from "../plugins/docker/engine/docker-engine.ts";
import { readCluster } from "../policy/explain/cluster-model.ts";
import { explainEndpoint, explainHostEndpoint } from "../policy/explain/endpoint.ts";
import { explainFlow } from "../policy/explain/flow.ts";
import { packetOf, parseTraffic, sourcePortDefault, type Traffic } from "../policy/explain/packet.ts";
import { resolveConnection } from "../store/connection-settings.ts";
import { connectEtcd } from "../store/etcd-client.ts";
import type { Store } from "../store/store.ts";
import { askKernels, hostViews } from "./explain/ask-kernels.ts";
import { endpointText, hostEndpointText } from "./explain/endpoint-text.ts";
import { exitCodeOf, type FlowReport, flowReport, flowText, type PartyReport } from "./explain/flow-report.ts";
import { type Found, findHostEndpoint, findParty, type Places } from "./explain/parties.ts";

const help = `margay explain: why a connection passes or not, from the resources and from the kernels of the hosts involved

Usage: margay explain flow --from=X --to=Y --port=TRAFFIC [options]
       margay explain endpoint X [options]

X and Y: an address (of an endpoint, a host or outside), a container of this host by name or id, a Mesos task, a
Marathon app, an endpoint by name, id or interface, or a host. NAME@NETWORK picks one of a container's networks.
TRAFFIC: tcp/80, udp/53, sctp/36412, icmp, icmp/8, icmp/3/1 or a protocol's number.

  --source-port=PORT     of the connection, for rules about source ports (default ${sourcePortDefault})
  --source-address=IP    what the packet claims as its source, to try the source check
  --ipv6                 the IPv6 addresses of endpoints that have both
  --no-kernel            from the resources alone
  --timeout=SECONDS      for the store and for each host's answer (default 5)
  -o json                everything, for programs
  --store=URL[,URL...]   the datastore (default: as for margay node)
  --run-dir=DIR          where this host's node.sock is (default /run/margay)
  --docker-host=URL      where containers are looked up (default ${DOCKER_HOST_DEFAULT})
  --help                 this text

Exit code: 0 allowed, 2 denied or unreachable, 3 the kernel does not do what the resources say, 1 error.
For an endpoint: 0 open, 2 closed by a problem. A host endpoint goes by its name.
`;

export const role: Role = { summary: "why a connection passes or not, and whether the kernel agrees", run: runExplain };

async function runExplain(argv: readonly string[], io: RoleIo): Promise<number> {
  try {
    const settings = parseSettings(argv, io.env);
    if (settings === "help") {
      io.stdout(help);
      return 0;
    }
    const clock = systemClock;
    await using store = await connectEtcd({ ...settings.connection, clock, log: silentLog });
    const context = { settings, store, clock, io };
    return settings.command === "flow" ? await flow(context) : await endpoint(context);
  } catch (error) {
    io.stderr(`margay explain: ${describeError(error)}\n`);
    if (error instanceof OperationError && error.remedy !== undefined) io.stderr(`  ${error.remedy}\n`);
    return 1;
  }
}

type Settings = Exclude<ReturnType<typeof parseSettings>, "help">;

interface Context {
  readonly settings: Settings;
  readonly store: Store;
  readonly clock: Clock;
  readonly io: RoleIo;
}

/** A node that has not heard of the newest change yet differs for a moment: what stays different is a disagreement. */
const looksMax = 3;
const nextLookMs = 400;

async function flow(context: Context): Promise<number> {
  const { settings, clock, io } = context;
  let report = await lookAtFlow(context);
  for (let look = 1; look < looksMax && report.disagreements.length > 0; look++) {
    await clock.sleep(nextLookMs, io.signal);
    report = await lookAtFlow(context);
  }
  io.stdout(settings.json ? `${JSON.stringify(report, null, 2)}\n` : flowText(report));
  return exitCodeOf(report);
}

async function lookAtFlow(context: Context): Promise<FlowReport> {
  const { settings, store, clock, io } = context;
  const places = await readPlaces(context);
  const { from: fromWord, to: toWord, traffic } = settings;
  const from = await findParty(places, fromWord, "--from");
  const to = await findParty(places, toWord, "--to");
  const family = familyFor(from, to, settings);
  const fromParty = from.at(family);
  const toParty = to.at(family);
  if (fromParty === undefined || toParty === undefined) {
    const missing = fromParty === undefined ? fromWord : toWord;
    throw new BadInput(
      fromParty === undefined ? "--from" : "--to",
      `"${missing}" has no IPv${family} address`,
      "two addresses of one family",
    );
  }
  const source = settings.sourceAddress ?? fromParty.address;
  const packet = packetOf(source, toParty.address, traffic, settings.sourcePort);
  const asker = { store, clock, socketPath: settings.socketPath, timeoutMs: settings.timeoutMs, signal: io.signal };
  // Which hosts are involved is known at once; which of their interfaces, they tell.
  const { hosts } = explainFlow(places.model, fromParty, toParty, packet);
  const answers = settings.kernel ? await askKernels(asker, hosts) : [];
  const model = explainFlow(places.model, fromParty, toParty, packet, hostViews(answers));
  const kernels = answers.map((report) => {
    const part = model.hosts.find(({ host }) => host === report.host);
    return part === undefined ? report : { ...report, expected: part.verdict };
  });
  return flowReport({
    from: partyReport(fromWord, fromParty.address, from, fromParty.kind === "host" ? fromParty.host : undefined),
    to: partyReport(toWord, toParty.address, to, toParty.kind === "host" ? toParty.host : undefined),
    packet,
    notes: [...from.notes, ...to.notes],
    model,
    kernels,
  });
}

function familyFor(from: Found, to: Found, { ipv6 }: Settings): 4 | 6 {
  const common = from.families.filter((family) => to.families.includes(family));
  if (ipv6) return 6;
  return common[0] ?? from.families[0] ?? 4;
}

function partyReport(
  asked: string,
  address: string,
  { title, endpoint }: Found,
  host: string | undefined,
): PartyReport {
  if (endpoint === undefined) return { asked, title, address, ...(host === undefined ? {} : { host }) };
  const { document, interfaceName, source } = endpoint;
  return {
    asked,
    title,
    address,
    host: endpoint.host,
    endpoint: `${document.spec.endpoint.slice(0, 12)} (${interfaceName})`,
    profiles: source.profiles,
  };
}

async function endpoint(context: Context): Promise<number> {
  const { settings, io } = context;
  const places = await readPlaces(context);
  const hostEndpoint = findHostEndpoint(places.model, settings.subject);
  if (hostEndpoint !== undefined) {
    const explanation = explainHostEndpoint(places.model, hostEndpoint);
    io.stdout(settings.json ? `${JSON.stringify(explanation, null, 2)}\n` : hostEndpointText(explanation));
    return explanation.problems.length === 0 ? 0 : 2;
  }
  const found = await findParty(places, settings.subject, "endpoint");
  if (found.endpoint === undefined)
    throw new BadInput(
      "endpoint",
      `"${settings.subject}" is ${found.title || "a host"}, no endpoint`,
      "an endpoint of this cluster",
    );
  const explanation = explainEndpoint(places.model, found.endpoint);
  io.stdout(settings.json ? `${JSON.stringify(explanation, null, 2)}\n` : endpointText(explanation, found.notes));
  return explanation.problems.length === 0 ? 0 : 2;
}

async function readPlaces({ settings, store, clock, io }: Context): Promise<Places> {
  const signal = deadline(clock, settings.timeoutMs, io.signal);
  const { kvs } = await store.list("/calico/", { signal });
  const instances = await store.list("/margay/marathon/instances/", { signal });
  const engine = new DockerEngine({ clock, host: settings.dockerHost });
  return {
    model: readCluster(kvs.map(({ key, value }) => [key, value] as const)),
    instances: instances.kvs.map(({ value }) => value),
    containerEndpoints: async (name) => {
      // Names and ids as Docker has them; anything else would be another path of its API.
      if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) return [];
      try {
        const container = await engine.containers.inspect(name, {
          signal: deadline(clock, settings.timeoutMs, io.signal),
        });
        return Object.values(container.NetworkSettings.Networks).map(({ EndpointID }) => EndpointID);
      } catch {
        io.signal.throwIfAborted();
        return []; // no such container, or no Docker here: the word may mean something else
      }
    },
  };
}

function parseSettings(argv: readonly string[], env: RoleIo["env"]) {
  const { values, positionals } = parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: true,
    options: {
      from: { type: "string" },
      to: { type: "string" },
      port: { type: "string" },
      "source-port": { type: "string", default: String(sourcePortDefault) },
      "source-address": { type: "string" },
      ipv6: { type: "boolean", default: false },
      "no-kernel": { type: "boolean", default: false },
      timeout: { type: "string", default: "5" },
      output: { type: "string", short: "o", default: "text" },
      store: { type: "string" },
      "run-dir": { type: "string", default: "/run/margay" },
      "docker-host": { type: "string", default: env.DOCKER_HOST ?? DOCKER_HOST_DEFAULT },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const [command, subject = "", ...others] = positionals;
  if (command !== "flow" && command !== "endpoint")
    throw new BadInput("explain", `"${command ?? ""}" is nothing to explain`, "flow or endpoint (see --help)");
  if (others.length > 0 || (command === "flow") !== (subject === ""))
    throw new BadInput(command, "has other words than it takes", "see --help");
  if (values.output !== "text" && values.output !== "json")
    throw new BadInput("-o", `"${values.output}" is no format`, "json or text");
  const need = (name: "from" | "to" | "port"): string => {
    if (command === "flow" && (values[name] ?? "") === "") throw new BadInput(`--${name}`, "is missing", "see --help");
    return values[name] ?? "";
  };
  const port = need("port");
  const traffic: Traffic = command === "flow" ? parseTraffic(port, "--port") : { protocol: "icmp" };
  const claimed = values["source-address"];
  return {
    command,
    subject,
    from: need("from"),
    to: need("to"),
    traffic,
    sourcePort: wholeNumber(values["source-port"], "--source-port", 65_535),
    sourceAddress: claimed === undefined ? undefined : parseIpAddress(claimed, "--source-address"),
    ipv6: values.ipv6,
    kernel: !values["no-kernel"],
    timeoutMs: wholeNumber(values.timeout, "--timeout", 300) * 1_000,
    json: values.output === "json",
    connection: resolveConnection(values.store, env),
    socketPath: join(values["run-dir"], "node.sock"),
    dockerHost: values["docker-host"],
  } as const;
}

function wholeNumber(text: string, path: string, max: number): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > max) throw new BadInput(path, `"${text}" is out of range`, `a number from 1 to ${max}`);
  return value;
}
