/**
 * What a packet's verdict must be, told straight from a description of the cluster: no sets, no index, no documents, and
 * nothing shared with the code it checks. Slow, and short enough to be compared with calico-datastore.md 3.2, 3.5, 4.2 and
 * 5 by eye.
 */

export type OracleSelector =
  | { readonly is: "all" | "global" }
  | { readonly is: "has"; readonly label: string }
  | { readonly is: "equal" | "unequal" | "contains"; readonly label: string; readonly value: string }
  | { readonly is: "in" | "notIn"; readonly label: string; readonly values: readonly string[] }
  | { readonly is: "not"; readonly of: OracleSelector }
  | { readonly is: "and" | "or"; readonly of: readonly OracleSelector[] };

export interface OracleIcmp {
  readonly type: number;
  readonly code?: number | undefined;
}

export interface OracleSide {
  readonly nets?: readonly string[] | undefined;
  readonly notNets?: readonly string[] | undefined;
  readonly selector?: OracleSelector | undefined;
  readonly notSelector?: OracleSelector | undefined;
  readonly namespaceSelector?: OracleSelector | undefined;
  readonly accounts?: readonly string[] | undefined;
  /** Numbers, ranges ("80:81") and names. */
  readonly ports?: readonly (number | string)[] | undefined;
  readonly notPorts?: readonly (number | string)[] | undefined;
}

export interface OracleRule {
  readonly action: "Allow" | "Deny" | "Pass" | "Log";
  readonly protocol?: "TCP" | "UDP" | "ICMP" | "ICMPv6" | undefined;
  readonly notProtocol?: "TCP" | "UDP" | undefined;
  readonly ipVersion?: 4 | 6 | undefined;
  readonly icmp?: OracleIcmp | undefined;
  readonly notICMP?: OracleIcmp | undefined;
  readonly source: OracleSide;
  readonly destination: OracleSide;
}

export interface OracleItem {
  readonly id: string;
  readonly kind: "workload" | "host" | "globalSet" | "set";
  readonly host: string;
  /** Of a host endpoint: it is for all of its host's interfaces, instead of eth0. */
  readonly isForAll?: boolean;
  readonly namespace: string | undefined;
  readonly account: string | undefined;
  /** Single addresses. */
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly profiles: readonly string[];
  readonly ports: readonly { readonly name: string; readonly protocol: "TCP" | "UDP"; readonly port: number }[];
}

export interface OraclePolicy {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly tier: string;
  readonly order: number | undefined;
  readonly selector: OracleSelector;
  readonly types: readonly ("Ingress" | "Egress")[];
  readonly stage: "normal" | "preDNAT" | "doNotTrack";
  readonly applyOnForward: boolean;
  readonly ingress: readonly OracleRule[];
  readonly egress: readonly OracleRule[];
}

export interface OracleProfile {
  readonly labels: Readonly<Record<string, string>>;
  readonly ingress: readonly OracleRule[];
  readonly egress: readonly OracleRule[];
}

export interface OracleCluster {
  readonly items: readonly OracleItem[];
  readonly policies: readonly OraclePolicy[];
  readonly profiles: Readonly<Record<string, OracleProfile>>;
  readonly tiers: Readonly<
    Record<string, { readonly order: number | undefined; readonly defaultAction: "Deny" | "Pass" }>
  >;
}

export interface OraclePacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: "TCP" | "UDP" | "ICMP" | "ICMPv6";
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmp: { readonly type: number; readonly code: number };
}

export type Direction = "ingress" | "egress";
export type Stage = "normal" | "forward" | "preDNAT" | "doNotTrack";
/** "none": nothing is said at this stage, the packet goes on. */
export type Verdict = "allow" | "deny" | "none";

export function oracleVerdict(
  cluster: OracleCluster,
  item: OracleItem,
  direction: Direction,
  packet: OraclePacket,
  stage: Stage = "normal",
): Verdict {
  if (isBroken(cluster, item)) return "deny";
  const word = direction === "ingress" ? "Ingress" : "Egress";
  const policies = cluster.policies
    .filter((policy) => policy.types.length === 0 || policy.types.includes(word))
    .filter((policy) => isFor(cluster, policy, item))
    .filter(({ stage: own, applyOnForward }) =>
      stage === "forward" ? own === "normal" && applyOnForward : own === stage,
    );
  if (stage === "preDNAT" && direction === "egress") return "none";
  if (stage === "forward" && policies.length === 0) return "none";
  const tiers = [...new Set(policies.map(({ tier }) => tier))].sort((a, b) =>
    compare(rankOf(cluster, a), rankOf(cluster, b)),
  );
  for (const tier of tiers) {
    const own = policies.filter((policy) => policy.tier === tier).sort((a, b) => compare(policyRank(a), policyRank(b)));
    const rules = own.flatMap((policy) => policy[direction].map((rule) => ({ rule, namespace: policy.namespace })));
    const hit = rules.find(
      ({ rule, namespace }) => rule.action !== "Log" && ruleMatches(cluster, rule, namespace, packet),
    );
    if (hit?.rule.action === "Allow") return "allow";
    if (hit?.rule.action === "Deny") return "deny";
    if (hit?.rule.action === "Pass") continue;
    if (stage === "preDNAT" || stage === "doNotTrack") continue;
    if (cluster.tiers[tier]?.defaultAction !== "Pass") return "deny";
  }
  if (stage !== "normal") return "none";
  for (const name of item.profiles) {
    const rules = cluster.profiles[name]?.[direction] ?? [];
    const hit = rules.find((rule) => rule.action !== "Log" && ruleMatches(cluster, rule, undefined, packet));
    if (hit?.action === "Allow") return "allow";
    if (hit?.action === "Deny") return "deny";
    // Pass is no verdict: the profile's later rules are left out, the next profile is asked.
  }
  return "deny";
}

/** Open on every host endpoint as long as nobody configures other ones (felix-dataplane.md 3.8). */
const failsafePorts = {
  ingress: { TCP: [22, 179, 2379, 2380, 5473, 6443, 6666, 6667], UDP: [68] },
  egress: { TCP: [179, 2379, 2380, 5473, 6443, 6666, 6667], UDP: [53, 67] },
} as const;

/** Where a packet meets the endpoint of a host's own interface: at its end, its beginning, or on its way through. */
export type HostPlace = "to the host" | "from the host" | "forwarded in" | "forwarded out";

/** calico-datastore.md 5.3, for what is not of a known connection. Undefined: the interface has no host endpoint. */
export function oracleHostPasses(
  cluster: OracleCluster,
  item: OracleItem | undefined,
  place: HostPlace,
  packet: OraclePacket,
): boolean {
  if (item === undefined) return true;
  const direction = place === "to the host" || place === "forwarded in" ? "ingress" : "egress";
  const isFailsafe = isFailsafePort(direction, packet.protocol, packet.destinationPort);
  if (direction === "ingress" && !isBroken(cluster, item) && isAsked(cluster, item, "preDNAT", direction)) {
    const verdict = isFailsafe ? "allow" : oracleVerdict(cluster, item, direction, packet, "preDNAT");
    if (verdict !== "none") return verdict === "allow";
  }
  if (place.startsWith("forwarded")) return oracleVerdict(cluster, item, direction, packet, "forward") !== "deny";
  return isFailsafe || oracleVerdict(cluster, item, direction, packet, "normal") === "allow";
}

/**
 * The same before connection tracking: asked of every packet that comes in by the interface, and of every one that the host
 * itself sends, answers included. "allow" is final, and nobody tracks the packet; "none": it goes on as if nothing were.
 */
export function oracleUntracked(
  cluster: OracleCluster,
  item: OracleItem | undefined,
  direction: Direction,
  packet: OraclePacket,
): Verdict {
  if (item === undefined || item.isForAll === true || !isAsked(cluster, item, "doNotTrack", direction)) return "none";
  const { protocol, sourcePort, destinationPort } = packet;
  const opposite = direction === "ingress" ? "egress" : "ingress";
  if (isFailsafePort(direction, protocol, destinationPort)) return "none";
  if (isFailsafePort(opposite, protocol, sourcePort)) return "none"; // an answer
  return oracleVerdict(cluster, item, direction, packet, "doNotTrack");
}

function isFailsafePort(direction: Direction, protocol: OraclePacket["protocol"], port: number): boolean {
  const { TCP, UDP } = failsafePorts[direction];
  const ports: readonly number[] = protocol === "TCP" ? TCP : protocol === "UDP" ? UDP : [];
  return ports.includes(port);
}

function isBroken({ profiles }: OracleCluster, item: OracleItem): boolean {
  return item.profiles.some((name) => profiles[name] === undefined);
}

function isAsked(cluster: OracleCluster, item: OracleItem, stage: Stage, direction: Direction): boolean {
  const word = direction === "ingress" ? "Ingress" : "Egress";
  return cluster.policies.some(
    (policy) =>
      policy.stage === stage &&
      (policy.types.length === 0 || policy.types.includes(word)) &&
      isFor(cluster, policy, item),
  );
}

function isFor(cluster: OracleCluster, policy: OraclePolicy, item: OracleItem): boolean {
  if (item.kind === "globalSet" || item.kind === "set") return false;
  if (item.kind === "workload" && policy.stage !== "normal") return false;
  if (policy.namespace !== undefined && policy.namespace !== item.namespace) return false;
  return holds(policy.selector, labelsOf(cluster, item));
}

function ruleMatches(
  cluster: OracleCluster,
  rule: OracleRule,
  namespace: string | undefined,
  packet: OraclePacket,
): boolean {
  const family = packet.source.includes(":") ? 6 : 4;
  const ofIcmp = ({ type, code }: OracleIcmp) =>
    packet.icmp.type === type && (code === undefined || packet.icmp.code === code);
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (rule.notProtocol !== undefined && rule.notProtocol === packet.protocol) return false;
  if (rule.icmp !== undefined && !ofIcmp(rule.icmp)) return false;
  if (rule.notICMP !== undefined && ofIcmp(rule.notICMP)) return false;
  return (
    sideMatches(cluster, rule.source, namespace, packet.source, packet.sourcePort, packet.protocol) &&
    sideMatches(cluster, rule.destination, namespace, packet.destination, packet.destinationPort, packet.protocol)
  );
}

function sideMatches(
  cluster: OracleCluster,
  side: OracleSide,
  namespace: string | undefined,
  address: string,
  port: number,
  protocol: OraclePacket["protocol"],
): boolean {
  const { nets, notNets, selector, notSelector, namespaceSelector, accounts, ports, notPorts } = side;
  if (nets !== undefined && !nets.some((net) => within(net, address))) return false;
  if (notNets?.some((net) => within(net, address))) return false;
  const usesSelector = [selector, notSelector, namespaceSelector, accounts].some((one) => one !== undefined);
  const confined = usesSelector && namespace !== undefined && namespaceSelector === undefined ? namespace : undefined;
  const positive =
    selector !== undefined || namespaceSelector !== undefined || accounts !== undefined || confined !== undefined;
  const selected = (item: OracleItem) =>
    (selector === undefined || holds(selector, labelsOf(cluster, item))) &&
    (notSelector === undefined || !holds(notSelector, labelsOf(cluster, item))) &&
    (namespaceSelector === undefined || namespaceHolds(cluster, namespaceSelector, item)) &&
    (confined === undefined || item.namespace === confined) &&
    (accounts === undefined || (item.account !== undefined && accounts.includes(item.account)));
  const holders = cluster.items.filter(({ addresses }) => addresses.includes(address));
  if (positive && !holders.some(selected)) return false;
  if (!positive && notSelector !== undefined && holders.some((item) => holds(notSelector, labelsOf(cluster, item)))) {
    return false;
  }
  const isOneOf = (wanted: readonly (number | string)[]) =>
    (protocol === "TCP" || protocol === "UDP") &&
    wanted.some((one) =>
      typeof one === "number" || one.includes(":")
        ? isBetween(`${one}`.split(":").map(Number), port)
        : holders
            .filter((item) => !positive || selected(item))
            .some((item) =>
              item.ports.some((own) => own.name === one && own.protocol === protocol && own.port === port),
            ),
    );
  if (ports !== undefined && !isOneOf(ports)) return false;
  return notPorts === undefined || !isOneOf(notPorts);
}

/** A single number is its own end. */
function isBetween([first = 0, last = first]: readonly number[], port: number): boolean {
  return first <= port && port <= last;
}

/** What a workload or set brings itself hides what its profiles bring; the first profile hides later ones. */
function labelsOf(
  cluster: OracleCluster,
  { labels, profiles, namespace, account, kind }: OracleItem,
): ReadonlyMap<string, string> {
  const all = new Map<string, string>();
  const listed = kind === "set" ? [`kns.${namespace}`] : profiles;
  for (const name of listed.toReversed()) {
    for (const [label, value] of Object.entries(cluster.profiles[name]?.labels ?? {})) all.set(label, value);
  }
  for (const [label, value] of Object.entries(labels)) all.set(label, value);
  if (namespace !== undefined) all.set("projectcalico.org/namespace", namespace);
  if (account !== undefined) all.set("projectcalico.org/serviceaccount", account);
  return all;
}

function namespaceHolds(cluster: OracleCluster, selector: OracleSelector, item: OracleItem): boolean {
  if (selector.is === "all") return item.namespace !== undefined;
  if (selector.is === "global") return item.namespace === undefined;
  const own = [...labelsOf(cluster, item)].flatMap(([label, value]): [string, string][] =>
    label.startsWith("pcns.") ? [[label.slice("pcns.".length), value]] : [],
  );
  return holds(selector, new Map(own));
}

function holds(selector: OracleSelector, labels: ReadonlyMap<string, string>): boolean {
  switch (selector.is) {
    case "all":
    case "global":
      return true;
    case "has":
      return labels.has(selector.label);
    case "equal":
      return labels.get(selector.label) === selector.value;
    case "unequal":
      return labels.get(selector.label) !== selector.value;
    case "contains":
      return labels.has(selector.label) && String(labels.get(selector.label)).includes(selector.value);
    case "in":
      return selector.values.some((value) => labels.get(selector.label) === value);
    case "notIn":
      return !selector.values.some((value) => labels.get(selector.label) === value);
    case "not":
      return !holds(selector.of, labels);
    case "and":
      return selector.of.every((one) => holds(one, labels));
    case "or":
      return selector.of.some((one) => holds(one, labels));
  }
}

/** Nets of the tests end at an octet or group: 10.0.0.0/24, fd00::/16, or one address. */
function within(net: string, address: string): boolean {
  const [base = "", length] = net.split("/");
  if (length === "32" || length === "128") return base === address;
  if (length === "0") return base.includes(":") === address.includes(":");
  return net.includes(":")
    ? address.startsWith(base.slice(0, 5))
    : address
        .split(".")
        .slice(0, Number(length) / 8)
        .join(".") ===
        base
          .split(".")
          .slice(0, Number(length) / 8)
          .join(".");
}

/** Unknown tiers stand after all others; no order after every order; then by name. */
function rankOf({ tiers }: OracleCluster, name: string): readonly (number | string)[] {
  return [tiers[name] === undefined ? 1 : 0, tiers[name]?.order ?? Number.POSITIVE_INFINITY, name];
}

function policyRank({ order, name, namespace }: OraclePolicy): readonly (number | string)[] {
  const kind = namespace === undefined ? "GlobalNetworkPolicy" : "NetworkPolicy";
  return [order ?? Number.POSITIVE_INFINITY, `${name}/${namespace ?? ""}/${kind}`];
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [at, left] of a.entries()) {
    const right = b[at] ?? 0;
    if (left < right) return -1;
    if (left > right) return 1;
  }
  return 0;
}
