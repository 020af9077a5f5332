/**
 * `calicoctl node run` (calicoctl.md 4.8): the command that starts the node on this host, shown or carried out. With
 * --node-image it is a container of that image under Docker; without one it is Margay's own node, which is for the host's
 * init system to supervise: then the command is shown and not carried out, because a process that nobody watches over would
 * be no service.
 */

import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { tryParseCidr, tryParseIpAddress } from "../../../base/addresses.ts";
import { type Clock, deadline } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { RoleIo } from "../../../base/role.ts";
import { checkHostName } from "../../../model/names.ts";
import { parseAsNumber } from "../../../model/node.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { needRoot } from "./host-access.ts";
import { readWords } from "./words.ts";

export const nodeRunUsage = `Usage:
  calicoctl node run [--dryrun] [--init-system] [--node-image=IMAGE] [--name=HOST] [--ip=IP|autodetect] [--ip6=IP|autodetect]
                     [--as=AS] [--ip-autodetection-method=METHOD] [--ip6-autodetection-method=METHOD] [--log-dir=DIR]
                     [--backend=bird|none] [--no-default-ippools] [--felix-config=FILE]
`;

export const nodeRunHelp = `Starts the node on this host as a container, or shows how it is started.

${nodeRunUsage}
Options:
      --dryrun              show the command, run nothing; needs no root
      --init-system         the command for an init system: in the foreground, removed when it ends
      --node-image=IMAGE    the container's image; without it the command is that of Margay's own node
      --name=HOST           this host's name (default: its own)
      --ip=IP, --ip6=IP     its addresses, or "autodetect"
      --as=AS               its AS number
      --ip-autodetection-method, --ip6-autodetection-method
                            first-found, can-reach=HOST, interface=REGEX, skip-interface=REGEX; of a container
      --log-dir=DIR         its logs (default /var/log/calico)
      --backend=BACKEND     bird (the default) or none
      --no-default-ippools  an empty cluster gets no pool
      --felix-config=FILE   settings of Felix for a container
      --disable-docker-networking, --docker-networking-ifprefix=, --use-docker-networking-container-labels
                            accepted, for scripts of older releases

Examples:
  calicoctl node run --dryrun --ip=172.31.0.11
  calicoctl node run --node-image=quay.io/calico/node:v3.32.1 --ip=172.31.0.11
`;

const failure = (problem: string) => new CommandFailure("stdout", `Error executing command: ${problem}\n`);
const progressTimeoutMs = 10_000;
const commandTimeoutMs = 300_000;

type Values = ReturnType<typeof readRun>;

export async function nodeRun(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io } = context;
  const values = readRun(args);
  checkValues(values);
  const own = values["node-image"] === undefined;
  const command = own ? margayCommand(values, io) : dockerCommand(values, io);
  if (values.dryrun) {
    io.stdout(dryRunText(command, own, values["init-system"]));
    return 0;
  }
  if (own) {
    throw new CommandFailure(
      "stderr",
      `the node of Margay is started by this host's init system, with the command:\n\n  ${shown(command)}\n\nGive --node-image to start a container instead.\n`,
    );
  }
  needRoot();
  await start(context, command);
  return 0;
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
      "log-dir": { type: "string", default: "/var/log/calico" },
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

function margayCommand(values: Values, io: RoleIo): readonly string[] {
  const address = [values.ip, values.ip6].find((text) => text !== undefined && text !== "autodetect");
  if (address === undefined) throw failure("Margay's node needs this host's address: --ip=IP");
  const endpoints = io.env.ETCD_ENDPOINTS || io.env.CALICO_ETCD_ENDPOINTS;
  return [
    "margay",
    "node",
    `--name=${values.name}`,
    `--ip=${address.split("/")[0]}`,
    ...(endpoints === undefined ? [] : [`--store=${endpoints}`]),
    ...(values["no-default-ippools"] ? ["--no-default-pools"] : []),
  ];
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

function dryRunText(command: readonly string[], own: boolean, initSystem: boolean): string {
  const stop = own ? "kill $MAINPID" : "docker stop calico-node";
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
