/** `calicoctl status` of the classic releases: whether the node of this host runs, and its BGP sessions (calicoctl.md 3.9). */

import type { Clock } from "../../../base/clock.ts";
import { OperationError } from "../../../base/errors.ts";
import { version } from "../../../base/version.ts";
import { nodeKey } from "../../../model/keys.ts";
import { decodeNode, type Node } from "../../../model/node.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";
import { askBird, birdSocket, sessionsIn } from "../modern/bird-status.ts";
import { defaultAsNumber } from "./classic-store.ts";
import { withoutPrefix } from "./node-show.ts";
import { nodeInContainer, nodeService, nodeState } from "./node-state.ts";
import { prettyTable } from "./pretty-table.ts";
import { readResource } from "./stored-resource.ts";
import { commandOfForms, type Typed } from "./usage-forms.ts";

const statusUsage = `Usage:
  calicoctl status [--runtime=(docker|rkt)] [--backend=(bird|gobgp|none)]
`;

export const statusHelp = `Tells whether the node of this host runs, and how its BGP sessions are. Exit code 1: it does not run.

${statusUsage}
The node is asked itself, however it was started; the options are accepted for old scripts.
Without a BGP daemon hosts reach each other's containers by routes that the nodes set directly.

Examples:
  calicoctl status
`;

export const status: Command = commandOfForms(statusUsage, [
  { words: "", options: ["--runtime=", "--backend="], run: showStatus },
]);

async function showStatus(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const runtime = typed.option("--runtime") ?? "docker";
  const backend = typed.option("--backend") ?? "bird";
  const invalid = (what: string, value: string) =>
    new CommandFailure("stdout", `Invalid ${what} specified: '${value}'\n`);
  if (!["docker", "rkt"].includes(runtime)) throw invalid("runtime", runtime);
  if (!["bird", "gobgp", "none"].includes(backend)) throw invalid("backend", backend);
  const state = await nodeState(context);
  if (state.kind === "away") {
    io.stdout("calico-node container not running\n");
    return 1;
  }
  io.stdout(`calico-node container is running. Status: ${await runningFor(context)}\n`);
  io.stdout(`Running felix version ${version} (margay)\n`);
  if (state.kind === "waiting") io.stdout(`Not ready: ${state.because}\n`);
  if (backend !== "none") {
    const { node, inherited } = await readNode(context);
    for (const family of [4, 6] as const) await showFamily(context, family, node, inherited);
  }
  return 0;
}

async function runningFor(context: CalicoctlContext): Promise<string> {
  const service = await nodeService(context);
  if (service !== undefined) return `Up ${duration(context.clock.nowMs() - service.startedAtMs)}`;
  const container = await nodeInContainer(context);
  return container?.State === "running" ? container.Status : "Up";
}

/** As Docker words it. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3_600)];
  if (seconds < 60) return seconds < 1 ? "Less than a second" : seconds === 1 ? "1 second" : `${seconds} seconds`;
  if (minutes < 60) return minutes === 1 ? "About a minute" : `${minutes} minutes`;
  if (hours < 48) return hours === 1 ? "About an hour" : `${hours} hours`;
  return `${Math.floor(hours / 24)} days`;
}

interface OwnNode {
  readonly node: Node | undefined;
  readonly inherited: string;
}

async function readNode(context: CalicoctlContext): Promise<OwnNode> {
  try {
    const store = await context.store();
    const at = { key: nodeKey(context.host.name), decode: decodeNode };
    return { node: await readResource(store, at), inherited: await defaultAsNumber(store) };
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    context.io.stdout("Error connecting to etcd.  Ensure ETCD_ENDPOINTS or ETCD_AUTHORITY is set properly.\n");
    return { node: undefined, inherited: "" };
  }
}

async function showFamily(
  { io, clock }: CalicoctlContext,
  family: 4 | 6,
  node: Node | undefined,
  inherited: string,
): Promise<void> {
  io.stdout(`\nIPv${family} BGP status\n`);
  const bgp = node?.spec.bgp;
  const address = withoutPrefix(family === 4 ? bgp?.ipv4Address : bgp?.ipv6Address);
  if (node !== undefined && address === "") {
    io.stdout(`No IPv${family} address configured.\n`);
    return;
  }
  const asNumber = bgp?.asNumber === undefined ? `${inherited} (inherited)` : String(bgp.asNumber);
  io.stdout(node === undefined ? "IP: unknown    AS Number: unknown\n" : `IP: ${address}    AS Number: ${asNumber}\n`);
  io.stdout(await sessionsText(family, clock));
}

async function sessionsText(family: 4 | 6, clock: Clock): Promise<string> {
  const socket = birdSocket(family);
  if (socket === undefined)
    return "No BGP daemon runs here: routes to the containers of other hosts are set directly.\n";
  let answer: string;
  try {
    answer = await askBird(socket, clock);
  } catch {
    return "Couldn't connect to bird.\n";
  }
  const sessions = sessionsIn(answer);
  // What cannot be read is shown as it is.
  if (sessions === undefined) return answer;
  return prettyTable(["Peer address", "Peer type", "State", "Since", "Info"], sessions);
}
