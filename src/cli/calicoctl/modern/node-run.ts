/**
 * `calicoctl node run` (calicoctl.md 4.8): the command that starts the node on this host, shown or carried out. With
 * --node-image it is a container of that image under Docker; without one it is Margay's own node, as a service that is started
 * again when it dies, or with --init-system in the foreground.
 */

import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { tryParseCidr, tryParseIpAddress } from "../../../base/addresses.ts";
import { type Clock, deadline } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { RoleIo } from "../../../base/role.ts";
import { programWords } from "../../../lab/program.ts";
import { checkHostName } from "../../../model/names.ts";
import { parseAsNumber } from "../../../model/node.ts";
import { checkNotStartedElsewhere } from "../classic/node-state.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { needRoot } from "./host-access.ts";
import { readWords } from "./words.ts";

export const nodeRunUsage = `Usage:
  calicoctl node run [--dryrun] [--init-system] [--node-image=IMAGE] [--name=HOST] [--ip=IP|autodetect] [--ip6=IP|autodetect]
                     [--as=AS] [--ip-autodetection-method=METHOD] [--ip6-autodetection-method=METHOD] [--log-dir=DIR]
                     [--backend=bird|none] [--no-default-ippools] [--felix-config=FILE]
`;

export const nodeRunHelp = `Starts the node on this host, as a service or as a container, or shows how it is started.

${nodeRunUsage}
Options:
      --dryrun              show the command, run nothing; needs no root
      --init-system         for an init system: in the foreground
      --node-image=IMAGE    the image of a container; without it Margay's own node is started as a service
      --name=HOST           this host's name (default: its own)
      --ip=IP, --ip6=IP     its addresses, or "autodetect"
      --as=AS               its AS number
      --ip-autodetection-method, --ip6-autodetection-method
                            first-found, can-reach=HOST, interface=REGEX, skip-interface=REGEX
      --log-dir=DIR         its logs (default /var/log/calico)
      --backend=BACKEND     bird (the default) or none
      --no-default-ippools  an empty cluster gets no pool
      --felix-config=FILE   settings of Felix
      --disable-docker-networking, --docker-networking-ifprefix=, --use-docker-networking-container-labels
                            accepted, for scripts of older releases

Examples:
  calicoctl node run
  calicoctl node run --dryrun --ip=172.31.0.11
  calicoctl node run --node-image=quay.io/calico/node:v3.32.1 --ip=172.31.0.11
`;

const defaultLogDir = "/var/log/calico";
const failure = (problem: string) => new CommandFailure("stdout", `Error executing command: ${problem}\n`);
const progressTimeoutMs = 10_000;
const commandTimeoutMs = 300_000;

type Values = ReturnType<typeof readRun>;

export async function nodeRun(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io } = context;
  const values = readRun(args);
  checkValues(values);
  if (values["node-image"] === undefined) return await runOwnNode(context, values);
  const command = dockerCommand(values, io);
  if (values.dryrun) {
    io.stdout(dryRunText(command, "docker stop calico-node", values["init-system"]));
    return 0;
  }
  needRoot();
  await start(context, command);
  return 0;
}

async function runOwnNode(context: CalicoctlContext, values: Values): Promise<number> {
  const { io } = context;
  const { words, env } = ownNode(values, io);
  const command = [...Object.entries(env).map(([name, value]) => `${name}=${value}`), "margay", "node", ...words];
  if (values.dryrun) {
    io.stdout(dryRunText(command, "kill $MAINPID", values["init-system"]));
    return 0;
  }
  needRoot();
  if (values["init-system"]) return await inForeground([...programWords, "node", ...words], env, io);
  await checkNotStartedElsewhere(context);
  const { startNodeService } = await import("../node-service.ts");
  const logDir = values["log-dir"] === defaultLogDir ? undefined : values["log-dir"];
  await startNodeService(
    context,
    { words, env, logDir },
    {
      onCommand: () => io.stdout(`Running the following command to start calico-node:\n\n${shown(command)}\n\n`),
      onStarted: () => io.stdout("Node started, waiting until it is ready.\n"),
    },
  );
  io.stdout("Calico node started successfully\n");
  return 0;
}

async function inForeground(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  io: RoleIo,
): Promise<number> {
  const stdio = ["ignore", "inherit", "inherit"] as const;
  const child = Bun.spawn([...command], { stdio: [...stdio], env: { ...io.env, ...env } });
  io.signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
  return await child.exited;
}

function readRun(args: readonly string[]) {
  const { values, positionals } = readWords(
    args,
    {
      dryrun: { type: "boolean", default: false },
      "init-system": { type: "boolean", default: false },
      "node-image": { type: "string" },
      name: { type: "string" },
      ip: { type: "string" },
      ip6: { type: "string" },
      as: { type: "string" },
      "ip-autodetection-method": { type: "string" },
      "ip6-autodetection-method": { type: "string" },
      "log-dir": { type: "string", default: defaultLogDir },
      backend: { type: "string", default: "bird" },
      "no-default-ippools": { type: "boolean", default: false },
      "felix-config": { type: "string" },
      "disable-docker-networking": { type: "boolean" },
      "docker-networking-ifprefix": { type: "string" },
      "use-docker-networking-container-labels": { type: "boolean" },
    },
    nodeRunUsage,
  );
  if (positionals.length > 0) throw new UsageError(nodeRunUsage);
  return { ...values, name: checkHostName(values.name ?? hostname(), "--name") };
}

/** @throws CommandFailure */
function checkValues(values: Values): void {
  for (const [flag, family] of [
    ["ip", 4],
    ["ip6", 6],
  ] as const) {
    const text = values[flag];
    if (text === undefined || text === "autodetect") continue;
    const address = tryParseIpAddress(text.split("/")[0] ?? "");
    const fits = address !== undefined && address.includes(":") === (family === 6);
    if (!fits || (text.includes("/") && tryParseCidr(text) === undefined)) {
      throw failure(`invalid IP address specified: ${text}`);
    }
  }
  if (values.as !== undefined && parseAsNumber(values.as) === undefined) {
    throw failure(`invalid AS Number specified: ${values.as}`);
  }
  if (!["bird", "none", "gobgp"].includes(values.backend))
    throw failure(`unknown networking backend: ${values.backend}`);
  for (const flag of ["ip-autodetection-method", "ip6-autodetection-method"] as const) {
    const method = values[flag];
    if (method === undefined || /^(first-found|(can-reach|interface|skip-interface)=.+)$/.test(method)) continue;
    throw failure(`invalid IP autodetection method: ${method}`);
  }
  const felix = values["felix-config"];
  if (felix !== undefined && !existsSync(felix)) throw failure(`unable to find the file ${felix}`);
}

/** What `margay node` has no word for it takes from the environment, as calico/node does. */
function ownNode(
  values: Values,
  io: RoleIo,
): { readonly words: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const endpoints = io.env.ETCD_ENDPOINTS || io.env.CALICO_ETCD_ENDPOINTS;
  const given = (flag: string, text: string | undefined) => (text === undefined ? [] : [`--${flag}=${text}`]);
  const variables: Readonly<Record<string, string | undefined>> = {
    AS: values.as,
    IP_AUTODETECTION_METHOD: values["ip-autodetection-method"],
    IP6_AUTODETECTION_METHOD: values["ip6-autodetection-method"],
  };
  return {
    words: [
      `--name=${values.name}`,
      ...given("ip", values.ip),
      ...given("ip6", values.ip6),
      ...given("store", endpoints),
      ...given("felix-config", values["felix-config"]),
      ...(values["no-default-ippools"] ? ["--no-default-pools"] : []),
    ],
    env: Object.fromEntries(
      Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
  };
}

/** Where a container of calico/node expects certificates. */
const certificates = [
  ["ETCD_CA_CERT_FILE", "/etc/calico/certs/ca_cert.crt"],
  ["ETCD_KEY_FILE", "/etc/calico/certs/key.pem"],
  ["ETCD_CERT_FILE", "/etc/calico/certs/cert.crt"],
] as const;

function dockerCommand(values: Values, io: RoleIo): readonly string[] {
  const setting = (name: string) => io.env[`CALICO_${name}`] || io.env[name] || undefined;
  const pools = values["no-default-ippools"] ? { NO_DEFAULT_POOLS: "true" } : {};
  const variables: Readonly<Record<string, string | undefined>> = {
    NODENAME: values.name,
    CALICO_NETWORKING_BACKEND: values.backend,
    CALICO_MANAGE_CNI: "false",
    ETCD_ENDPOINTS: setting("ETCD_ENDPOINTS") ?? "http://127.0.0.1:2379",
    ETCD_DISCOVERY_SRV: setting("ETCD_DISCOVERY_SRV"),
    ...pools,
    IP_AUTODETECTION_METHOD: values["ip-autodetection-method"],
    IP6_AUTODETECTION_METHOD: values["ip6-autodetection-method"],
    AS: values.as,
    IP: values.ip,
    IP6: values.ip6,
    ...Object.fromEntries(certificates.map(([name, path]) => [name, setting(name) === undefined ? undefined : path])),
  };
  const volumes = [
    `${values["log-dir"]}:/var/log/calico`,
    "/var/run/calico:/var/run/calico",
    "/var/lib/calico:/var/lib/calico",
    "/lib/modules:/lib/modules",
    "/run:/run",
    ...(values["felix-config"] === undefined ? [] : [`${values["felix-config"]}:/etc/calico/felix.cfg`]),
    ...certificates.flatMap(([name, path]) => (setting(name) === undefined ? [] : [`${setting(name)}:${path}`])),
  ];
  return [
    ..."docker run --net=host --privileged --name=calico-node".split(" "),
    ...(values["init-system"] ? ["--rm"] : ["-d", "--restart=always"]),
    ...Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : ["-e", `${name}=${value}`])),
    ...volumes.flatMap((volume) => ["-v", volume]),
    values["node-image"] ?? "",
  ];
}

function dryRunText(command: readonly string[], stop: string, initSystem: boolean): string {
  const more = initSystem
    ? `Use the following command to stop the calico/node container:\n\n${stop}\n`
    : "If you are running calico/node in an init system, use the --init-system flag\nto display the appropriate start and stop commands.\n";
  return `Use the following command to start the calico/node container:\n\n${shown(command)}\n\n${more}`;
}

/** As one types it. */
function shown(command: readonly string[]): string {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

async function start({ io, clock }: CalicoctlContext, command: readonly string[]): Promise<void> {
  io.stdout("Removing old calico-node container (if running).\n");
  await ran(["docker", "rm", "-f", "calico-node"], clock, io);
  io.stdout(`Running the following command to start calico-node:\n\n${shown(command)}\n\n`);
  io.stdout("Image may take a short time to download if it is not available locally.\n");
  const started = await ran(command, clock, io);
  if (started.code !== 0) throw failure(started.text.trim() || `${command[0]} ends with ${started.code}`);
  io.stdout("Container started, checking progress logs.\n\n");
  const untilMs = clock.monotonicMs() + progressTimeoutMs;
  for (let said = 0; clock.monotonicMs() < untilMs; ) {
    const { text } = await ran(["docker", "logs", "calico-node"], clock, io);
    io.stdout(text.slice(said));
    said = text.length;
    if (text.includes("Calico node started successfully")) return;
    const { text: running } = await ran(["docker", "inspect", "-f", "{{.State.Running}}", "calico-node"], clock, io);
    if (running.trim() !== "true") break;
    await clock.sleep(250, io.signal);
  }
  throw failure("calico/node has terminated, check logs for details");
}

async function ran(
  command: readonly string[],
  clock: Clock,
  io: RoleIo,
): Promise<{ readonly code: number; readonly text: string }> {
  try {
    const signal = deadline(clock, commandTimeoutMs, io.signal);
    const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", signal });
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, text: stdout + stderr };
  } catch (error) {
    throw failure(`cannot run ${command[0]}: ${describeError(error)}`);
  }
}
