/**
 * `calicoctl node run` (calicoctl.md 4.8): the command that starts the node on this host, shown or carried out. With
 * --node-image it is a container of that image under Docker; without one it is Margay's own node, as a service that is started
 * again when it dies, or with --init-system in the foreground.
 */

import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { tryParseCidr, tryParseIpAddress } from "../../../base/addresses.ts";
import { describeError, OperationError } from "../../../base/errors.ts";
import type { RoleIo } from "../../../base/role.ts";
import { programWords } from "../../../lab/program.ts";
import { checkHostName } from "../../../model/names.ts";
import { parseAsNumber } from "../../../model/node.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { checkNotStartedElsewhere, nodeContainer } from "../classic/node-state.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import {
  accessFlags,
  contentWords,
  fetchImage,
  type NodeContainer,
  nodeBinds,
  startNodeContainer,
  storeAccess,
} from "../node-container.ts";
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
      --backend=BACKEND     bird or none, for an image that knows both (default: what the image does)
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

type Values = ReturnType<typeof readRun>;

export async function nodeRun(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io } = context;
  const values = readRun(args);
  checkValues(values);
  if (values["node-image"] === undefined) return await runOwnNode(context, values);
  const node = await containerOf(context, values["node-image"], values);
  if (values.dryrun) {
    io.stdout(dryRunText(commandOf(node), "docker stop calico-node", values["init-system"]));
    return 0;
  }
  needRoot(context, "starts the node of this host");
  return await startContainerOf(context, node);
}

async function runOwnNode(context: CalicoctlContext, values: Values): Promise<number> {
  const { io } = context;
  const { words, env } = await ownNode(context, values);
  const command = [...Object.entries(env).map(([name, value]) => `${name}=${value}`), "margay", "node", ...words];
  if (values.dryrun) {
    io.stdout(dryRunText(command, "kill $MAINPID", values["init-system"]));
    return 0;
  }
  needRoot(context, "starts the node of this host");
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
      backend: { type: "string" },
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
  if (values.backend !== undefined && !["bird", "none", "gobgp"].includes(values.backend))
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
async function ownNode(
  { io, storePlace }: CalicoctlContext,
  values: Values,
): Promise<{ readonly words: readonly string[]; readonly env: Readonly<Record<string, string>> }> {
  const { endpoints: named, from } = await storePlace();
  const endpoints = from === "flag" ? named.join(",") : io.env.CALICO_ETCD_ENDPOINTS || io.env.ETCD_ENDPOINTS;
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

async function containerOf(
  { io, storePlace }: CalicoctlContext,
  image: string,
  values: Values,
): Promise<NodeContainer> {
  const access = storeAccess(io.env);
  const storeNamed = async () => {
    const { endpoints, from } = await storePlace();
    const domain = io.env.CALICO_ETCD_DISCOVERY_SRV || io.env.ETCD_DISCOVERY_SRV;
    if (from !== "flag" && domain) return { ETCD_DISCOVERY_SRV: domain };
    return { ETCD_ENDPOINTS: (from === "nobody" ? endpoints.slice(0, 1) : endpoints).join(",") };
  };
  const variables: Readonly<Record<string, string | undefined>> = {
    NODENAME: values.name,
    CALICO_NETWORKING_BACKEND: values.backend,
    CALICO_MANAGE_CNI: "false",
    ...(await storeNamed()),
    ...(values["no-default-ippools"] ? { NO_DEFAULT_POOLS: "true" } : {}),
    IP_AUTODETECTION_METHOD: values["ip-autodetection-method"],
    IP6_AUTODETECTION_METHOD: values["ip6-autodetection-method"],
    AS: values.as,
    IP: values.ip,
    IP6: values.ip6,
    ...access.env,
  };
  const felix = values["felix-config"];
  return {
    image,
    stays: !values["init-system"],
    env: Object.fromEntries(
      Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    binds: [
      ...nodeBinds(values["log-dir"], servicePlaces(io.env).runDir),
      ...(felix === undefined ? [] : [`${resolve(felix)}:/etc/calico/felix.cfg`]),
      ...access.binds,
    ],
  };
}

function commandOf(node: NodeContainer): readonly string[] {
  const life = node.stays ? ["-d", "--restart=always"] : ["--rm"];
  return ["docker", "run", ...accessFlags, `--name=${nodeContainer}`, ...life, ...contentWords(node)];
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

async function startContainerOf(context: CalicoctlContext, node: NodeContainer): Promise<number> {
  const { io } = context;
  await checkNotStartedElsewhere(context);
  try {
    io.stdout("Removing old calico-node container (if running).\n");
    io.stdout(`Running the following command to start calico-node:\n\n${shown(commandOf(node))}\n\n`);
    io.stdout("Image may take a short time to download if it is not available locally.\n");
    await fetchImage(context, node.image, { pull: true });
    if (!node.stays) context.handlesInterrupt();
    return await startNodeContainer(context, node, {
      onStarted: () => io.stdout("Container started, checking progress logs.\n\n"),
      onLog: io.stdout,
    });
  } catch (error) {
    if (error instanceof OperationError) throw failure(describeError(error));
    throw error;
  }
}
