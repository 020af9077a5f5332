/**
 * The cells of the matrix, who asks whom and how, and what the oracle says of each: packet by packet, the answer included,
 * because without connection tracking that is policy's business too.
 */

import type {
  Direction,
  HostPlace,
  OracleCluster,
  OracleItem,
  OraclePacket,
} from "../../../src/policy/testing/oracle.ts";
import { oracleHostPasses, oracleUntracked, oracleVerdict } from "../../../src/policy/testing/oracle.ts";

/** A container with one address of each family; one of the host's own network stands for the host itself. */
export interface Endpoint {
  readonly kind: "container" | "host";
  readonly host: string;
  readonly container: string;
  readonly network: string;
  readonly addresses: Readonly<Record<4 | 6, string>>;
  readonly hostAddresses: Readonly<Record<4 | 6, string>>;
}

export interface Cell {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly family: 4 | 6;
  readonly kind: "tcp/80" | "tcp/81" | "udp/53" | "icmp";
}

const kinds = ["tcp/80", "tcp/81", "udp/53", "icmp"] as const;
export const families = [4, 6] as const;

export function cellsOf(endpoints: readonly Endpoint[]): readonly Cell[] {
  return endpoints.flatMap((from) =>
    endpoints
      .filter((to) => to !== from)
      .flatMap((to) => families.flatMap((family) => kinds.map((kind) => ({ from, to, family, kind })))),
  );
}

/**
 * What the oracle says: everybody on its way lets the packet that opens the conversation through, and nothing holds its
 * answer. A host always reaches its own containers, unless they are closed and cannot answer; containers reach their host
 * as their own policy says (Return).
 */
export function allowed(cluster: OracleCluster, cell: Cell): boolean {
  const { from, to } = cell;
  if (!arrivesAtFirst(cluster, cell)) return false;
  if (from.host !== to.host) return isAnswered(cluster, cell);
  return from.kind === "container" || !isClosed(cluster, to);
}

/** The packet that opens the conversation comes to its end. */
export function arrivesAtFirst(cluster: OracleCluster, cell: Cell): boolean {
  const { from, to } = cell;
  const question = packetOf(cell);
  const says = (end: Endpoint, direction: Direction) => passesEnd(cluster, end, direction, question, "new");
  if (from.host === to.host && from.kind === "host") return true;
  if (from.host === to.host) return says(from, "egress") && (to.kind === "host" || says(to, "ingress"));
  const { sent, received, atSender, atReceiver } = conversation(cluster, cell);
  return leaves(cluster, from, sent, atSender.question) && arrives(cluster, to, received, atReceiver.question);
}

/**
 * Between two hosts: the answer, and one more packet after it, pass both. Of what policy keeps from a host's connection
 * tracking that knows nothing: without the question, the answer comes as a new conversation (UDP) or fits none (TCP, ICMP);
 * without the answer, TCP's next packet fits none; and an answer that is not recognised is not translated back.
 */
function isAnswered(cluster: OracleCluster, cell: Cell): boolean {
  const { from, to, family } = cell;
  const { sent, received, answer, atSender, atReceiver } = conversation(cluster, cell);
  return (
    (received.source === sent.source || atSender.answer === "established") &&
    !(atReceiver.answer === "new" && isTranslated(to, from, family)) &&
    leaves(cluster, to, answer, atReceiver.answer) &&
    arrives(cluster, from, answer, atSender.answer) &&
    leaves(cluster, from, sent, atSender.further) &&
    arrives(cluster, to, received, atReceiver.further)
  );
}

function conversation(cluster: OracleCluster, cell: Cell) {
  const { from, to } = cell;
  const sent = packetOf(cell);
  const received = { ...sent, source: sourceSeen(cell) };
  const answer = answerTo(received);
  const isTracked = (end: Endpoint, direction: Direction, packet: OraclePacket) =>
    untracked(cluster, end, direction, packet) === "none";
  const atSender = trackingOf(sent.protocol, {
    question: from.kind === "container" || isTracked(from, "egress", sent),
    answer: isTracked(from, "ingress", answer),
  });
  const atReceiver = trackingOf(sent.protocol, {
    question: isTracked(to, "ingress", received),
    answer: to.kind === "container" || isTracked(to, "egress", answer),
  });
  return { sent, received, answer, atSender, atReceiver };
}

/** What a host's connection tracking says of a packet: the first, of a known connection, of none, or not looked at. */
type Tracking = "new" | "established" | "invalid" | "untracked";

function trackingOf(
  protocol: OraclePacket["protocol"],
  isTracked: { readonly question: boolean; readonly answer: boolean },
): Readonly<Record<"question" | "answer" | "further", Tracking>> {
  const unknown = protocol === "UDP" ? "new" : "invalid";
  const unanswered = protocol === "TCP" ? "invalid" : "new";
  return {
    question: isTracked.question ? "new" : "untracked",
    answer: !isTracked.answer ? "untracked" : isTracked.question ? "established" : unknown,
    further: !isTracked.question ? "untracked" : isTracked.answer ? "established" : unanswered,
  };
}

/** To the other host: past the end's own policy and then the host's. */
function leaves(cluster: OracleCluster, end: Endpoint, packet: OraclePacket, tracking: Tracking): boolean {
  if (end.kind === "container")
    return (
      passesEnd(cluster, end, "egress", packet, tracking) && passesHost(cluster, end, "forwarded out", packet, tracking)
    );
  return (
    untracked(cluster, end, "egress", packet) !== "deny" && passesHost(cluster, end, "from the host", packet, tracking)
  );
}

/** From the other host: past the host's policy and then the end's own. */
function arrives(cluster: OracleCluster, end: Endpoint, packet: OraclePacket, tracking: Tracking): boolean {
  if (untracked(cluster, end, "ingress", packet) === "deny") return false;
  if (end.kind === "host") return passesHost(cluster, end, "to the host", packet, tracking);
  return (
    passesHost(cluster, end, "forwarded in", packet, tracking) && passesEnd(cluster, end, "ingress", packet, tracking)
  );
}

function untracked(cluster: OracleCluster, { host }: Endpoint, direction: Direction, packet: OraclePacket) {
  return oracleUntracked(cluster, hostEndpointOf(cluster, host), direction, packet);
}

/** What policy before connection tracking has let pass is not asked about again. */
function passesHost(
  cluster: OracleCluster,
  { host }: Endpoint,
  place: HostPlace,
  packet: OraclePacket,
  tracking: Tracking,
): boolean {
  const item = hostEndpointOf(cluster, host);
  if (item === undefined || tracking === "established" || tracking === "untracked") return true;
  return tracking === "new" && oracleHostPasses(cluster, item, place, packet);
}

function passesEnd(
  cluster: OracleCluster,
  { container }: Endpoint,
  direction: Direction,
  packet: OraclePacket,
  tracking: Tracking,
): boolean {
  if (tracking === "established") return true;
  const item = cluster.items.find(({ id }) => id === container);
  if (tracking === "invalid" || item === undefined) return false;
  return oracleVerdict(cluster, item, direction, packet) === "allow";
}

function answerTo({ source, destination, sourcePort, destinationPort, icmp, ...rest }: OraclePacket): OraclePacket {
  const type = icmp.type === 8 ? 0 : 129;
  const ends = { source: destination, destination: source };
  return { ...rest, ...ends, sourcePort: destinationPort, destinationPort: sourcePort, icmp: { type, code: 0 } };
}

function isClosed({ items, profiles }: OracleCluster, { container }: Endpoint): boolean {
  return items.some(({ id, profiles: own }) => id === container && own.some((name) => profiles[name] === undefined));
}

export function hostEndpointOf({ items }: OracleCluster, host: string): OracleItem | undefined {
  return items.find((item) => item.kind === "host" && item.host === host);
}

function sourceSeen({ from, to, family }: Cell): string {
  return isTranslated(from, to, family) ? from.hostAddresses[4] : from.addresses[family];
}

/** Only the IPv4 pool has natOutgoing, and hosts lie in no pool. */
function isTranslated(from: Endpoint, to: Endpoint, family: 4 | 6): boolean {
  return from.kind === "container" && to.kind === "host" && from.host !== to.host && family === 4;
}

function packetOf({ from, to, family, kind }: Cell): OraclePacket {
  const [word = "", port = "0"] = kind.split("/");
  const protocol = word === "icmp" ? (family === 4 ? "ICMP" : "ICMPv6") : word === "tcp" ? "TCP" : "UDP";
  return {
    source: from.addresses[family],
    destination: to.addresses[family],
    protocol,
    // Any that the kernel gives: rules know only ports below 1024.
    sourcePort: protocol === "TCP" || protocol === "UDP" ? 40_000 : 0,
    destinationPort: Number(port),
    icmp: { type: family === 4 ? 8 : 128, code: 0 },
  };
}
