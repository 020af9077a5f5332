/**
 * `calicoctl node status`: whether this host's node works, asked over its own socket rather than looked for among the
 * processes, and how its routes come about: by BIRD where there is one, else by the node itself (calicoctl.md 4.8).
 */

import { join } from "node:path";
import { z } from "zod";
import { type Clock, deadline } from "../../../base/clock.ts";
import { NetlinkSocket, netlinkRoute } from "../../../kernel/netlink/socket.ts";
import { listRoutes, type Route } from "../../../kernel/routes.ts";
import { check } from "../../../model/resource.ts";
import { routeProtocol } from "../../../node/dataplane/chain-names.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { birdFamilies, birdSection } from "./bird-status.ts";
import { needRoot } from "./host-access.ts";
import { readWords } from "./words.ts";

export const nodeStatusUsage = `Usage:
  calicoctl node status [--run-dir=DIR]
`;

export const nodeStatusHelp = `Says whether this host's node works, what it waits for, and how its routes come about. Needs root, not the datastore.

${nodeStatusUsage}
Options:
      --run-dir=DIR   where the node's socket is (default /run/margay)

Examples:
  calicoctl node status
`;

const statusTimeoutMs = 5_000;

const NodeStatus = z.looseObject({
  node: z.looseObject({
    name: z.string(),
    address: z.string(),
    datastore: z.string(),
    revision: z.number(),
    enforcedRevision: z.number(),
    lastError: z.string().nullish(),
    invalid: z.record(z.string(), z.string()).catch({}),
  }),
  health: z.record(z.string(), z.looseObject({ live: z.boolean(), ready: z.boolean(), detail: z.string() })),
  dataplane: z.looseObject({ unreachableBlocks: z.record(z.string(), z.string()).catch({}) }),
});
type NodeStatus = z.infer<typeof NodeStatus>;

export async function nodeStatus(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io, clock } = context;
  const flags = { "run-dir": { type: "string", default: "/run/margay" } } as const;
  const { values, positionals } = readWords(args, flags, nodeStatusUsage);
  if (positionals.length > 0) throw new UsageError(nodeStatusUsage);
  needRoot(context, "asks the node over its socket");
  const status = await askNode(join(values["run-dir"], "node.sock"), clock, io.signal);
  if (status === undefined) throw new CommandFailure("stderr", "Calico process is not running.\n");
  io.stdout("Calico process is running.\n");
  const sections = await Promise.all(birdFamilies.map((family) => birdSection(family, clock)));
  const present = sections.flatMap((section) => section ?? []);
  if (present.length === 0) io.stdout("\nThe BGP backend process (BIRD) is not running.\n");
  else {
    for (const [at, section] of sections.entries()) {
      const missing = `\nINFO: BIRDv${birdFamilies[at]?.family} process: 'bird' is not running.\n`;
      io.stdout(section ?? missing);
    }
  }
  io.stdout(`\n${nodeText(status)}`);
  return 0;
}

/** Undefined: nobody listens there. */
async function askNode(path: string, clock: Clock, signal: AbortSignal): Promise<NodeStatus | undefined> {
  try {
    const answer = await fetch("http://node/v1/status", {
      unix: path,
      signal: deadline(clock, statusTimeoutMs, signal),
    });
    return check(NodeStatus, await answer.json(), "status");
  } catch {
    signal.throwIfAborted();
    return undefined; // not running, or hung: the health of a hung one is its own affair
  }
}

function nodeText({ node, health, dataplane }: NodeStatus): string {
  const waiting = Object.entries(health).filter(([, { live, ready }]) => !(live && ready));
  const unreachable = Object.entries(dataplane.unreachableBlocks);
  const invalid = Object.entries(node.invalid);
  const behind = node.revision === node.enforcedRevision ? "enforced" : `revision ${node.enforcedRevision} enforced`;
  return [
    `Node ${node.name}, ${node.address}`,
    `Datastore: ${node.datastore}, revision ${node.revision}, ${behind}`,
    ...(node.lastError ? [`Last error: ${node.lastError}`] : []),
    ...(waiting.length === 0 ? ["All components are ready."] : []),
    ...waiting.map(([name, { live, detail }]) => `${name} is not ${live ? "ready" : "live"}: ${detail}`),
    ...invalid.map(([key, problem]) => `Not understood, so as if absent: ${key}: ${problem}`),
    ...routeLines(),
    ...unreachable.map(([cidr, why]) => `No route to ${cidr}: ${why}`),
    "",
  ].join("\n");
}

/** Of the kernel, by the node's mark. */
function routeLines(): readonly string[] {
  using socket = NetlinkSocket.open(netlinkRoute);
  const routes = listRoutes(socket, routeProtocol);
  const of = (kind: Route["target"]["kind"]) => routes.filter(({ target }) => target.kind === kind);
  const others = of("gateway").map(({ destination, target }) =>
    target.kind === "gateway" ? `  ${destination} via ${target.gateway}` : "",
  );
  return [
    `Routes made by the node itself, without BGP: ${of("link").length} to interfaces of this host, ` +
      `${of("blackhole").length} blocks of this host, ${others.length} blocks of other hosts`,
    ...others,
  ];
}
