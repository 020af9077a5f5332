/** Random small clusters for the oracle, and the same clusters as documents of the store. */

import fc from "fast-check";
import { hostCidr, parseIpAddress } from "../../base/addresses.ts";
import { resourceKey, workloadEndpointKey } from "../../model/keys.ts";
import { workloadEndpointName } from "../../model/workload-endpoint-name.ts";
import type { Documents } from "./cluster-documents.ts";
import type {
  OracleCluster,
  OracleItem,
  OraclePacket,
  OraclePolicy,
  OracleProfile,
  OracleRule,
  OracleSelector,
  OracleSide,
} from "./oracle.ts";

const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "fd00::1", "fd00::2"] as const;
const outside = ["192.0.2.1", "fd01::1"] as const;
const namespaces = ["n1", "n2"] as const;
const nets = { 4: ["10.0.0.0/24", "10.0.0.0/8", "10.0.0.2/32"], 6: ["fd00::/16", "fd00::1/128"] } as const;
const labels = ["a", "b"] as const;
const values = ["x", "xy"] as const;
const portNames = ["http", "dns"] as const;
const profileNames = ["p1", "p2", "kns.n1", "kns.n2"] as const;
const tierNames = ["default", "early", "late"] as const;

const label = fc.constantFrom(...labels);
const value = fc.constantFrom(...values);
export const someLabels = fc.dictionary(label, value, { maxKeys: 2 });
const maybe = <Value>(one: fc.Arbitrary<Value>) => fc.option(one, { nil: undefined, freq: 2 });

function selectorOver(names: fc.Arbitrary<string>): fc.Arbitrary<OracleSelector> {
  const atom: fc.Arbitrary<OracleSelector> = fc.oneof(
    fc.record({ is: fc.constant("all" as const) }),
    fc.record({ is: fc.constant("has" as const), label: names }),
    fc.record({ is: fc.constantFrom("equal" as const, "unequal", "contains"), label: names, value }),
    fc.record({ is: fc.constantFrom("in" as const, "notIn"), label: names, values: fc.subarray([...values]) }),
  );
  return fc.oneof(
    { arbitrary: atom, weight: 4 },
    { arbitrary: fc.record({ is: fc.constant("not" as const), of: atom }), weight: 1 },
    {
      arbitrary: fc.record({
        is: fc.constantFrom("and" as const, "or"),
        of: fc.array(atom, { minLength: 2, maxLength: 3 }),
      }),
      weight: 2,
    },
  );
}

const selector = selectorOver(label);
const namespaceSelector: fc.Arbitrary<OracleSelector> = fc.oneof(
  fc.record({ is: fc.constantFrom("all" as const, "global") }),
  fc.record({ is: fc.constant("equal" as const), label: fc.constant("team"), value }),
  fc.record({ is: fc.constant("has" as const), label: fc.constant("team") }),
);

/** What rules say of nets, by IP version; the oracle's within() says which it can read. */
export type Nets = Readonly<Record<4 | 6, readonly string[]>>;

function side(ofFamily: readonly string[], port: fc.Arbitrary<number | string> | undefined): fc.Arbitrary<OracleSide> {
  const net = fc.constantFrom(...ofFamily);
  const ports = port === undefined ? fc.constant(undefined) : maybe(fc.array(port, { minLength: 1, maxLength: 2 }));
  return fc.record({
    nets: maybe(fc.array(net, { minLength: 1, maxLength: 2 })),
    notNets: maybe(fc.array(net, { minLength: 1, maxLength: 1 })),
    selector: maybe(selector),
    notSelector: maybe(selector),
    namespaceSelector: maybe(namespaceSelector),
    accounts: fc.option(fc.constant(["robot"]), { nil: undefined, freq: 6 }),
    ports,
    notPorts: ports,
  });
}

/** Without most of its members, so that a rule has a fair chance to match. */
const sparse = (one: fc.Arbitrary<OracleSide>) =>
  fc
    .tuple(
      one,
      fc.subarray(
        ["nets", "notNets", "selector", "notSelector", "namespaceSelector", "accounts", "ports", "notPorts"] as const,
        { maxLength: 2 },
      ),
    )
    .map(([full, kept]): OracleSide => Object.fromEntries(kept.map((member) => [member, full[member]])));

const action = fc.constantFrom("Allow" as const, "Allow", "Allow", "Deny", "Pass", "Log");
const numeric = fc.constantFrom<number | string>(80, 53, "80:81");
const rule = (nets: Nets): fc.Arbitrary<OracleRule> =>
  fc.constantFrom(4 as const, 6).chain((family) => {
    const any = sparse(side(nets[family], undefined));
    const named = sparse(side(nets[family], fc.constantFrom<number | string>(...portNames)));
    const withPorts = sparse(side(nets[family], fc.oneof(numeric, fc.constantFrom(...portNames))));
    const types = family === 4 ? [0, 8] : [128, 129];
    const icmp = maybe(fc.record({ type: fc.constantFrom(...types), code: fc.constantFrom(0, 1, undefined) }));
    return fc.oneof(
      fc.record({ action, source: any, destination: any, ipVersion: maybe(fc.constant(family)) }),
      fc.record({
        action,
        source: named,
        destination: named,
        notProtocol: maybe(fc.constantFrom("TCP" as const, "UDP")),
      }),
      fc.record({
        action,
        protocol: fc.constantFrom("TCP" as const, "UDP"),
        source: withPorts,
        destination: withPorts,
      }),
      fc.record({
        action,
        protocol: fc.constant(family === 4 ? ("ICMP" as const) : "ICMPv6"),
        source: any,
        destination: any,
        icmp,
        notICMP: icmp,
      }),
    );
  });
export const rulesOver = (nets: Nets) => fc.array(rule(nets), { minLength: 1, maxLength: 4 });
const rules = rulesOver(nets);
type Rules = ReturnType<typeof rulesOver>;

export const endpointPorts = fc.array(
  fc.record({
    name: fc.constantFrom(...portNames),
    protocol: fc.constantFrom("TCP" as const, "UDP"),
    port: fc.constantFrom(80, 53, 81),
  }),
  { maxLength: 2 },
);

const item = (id: string): fc.Arbitrary<OracleItem> =>
  fc
    .record({
      kind: fc.constantFrom("workload" as const, "workload", "workload", "host", "globalSet", "set"),
      host: fc.constantFrom("h1", "h2"),
      namespace: fc.constantFrom(...namespaces),
      account: fc.option(fc.constant("robot"), { nil: undefined, freq: 3 }),
      addresses: fc.subarray([...addresses], { minLength: 1, maxLength: 2 }),
      labels: someLabels,
      profiles: fc.subarray([...profileNames], { maxLength: 2 }),
      ports: endpointPorts,
    })
    .map((one): OracleItem => {
      const isSet = one.kind === "globalSet" || one.kind === "set";
      const namespaced = one.kind === "workload" || one.kind === "set";
      return {
        ...one,
        id,
        namespace: namespaced ? one.namespace : undefined,
        account: one.kind === "workload" ? one.account : undefined,
        profiles: isSet ? [] : one.profiles,
        ports: isSet ? [] : one.ports,
      };
    });

export const policy = (name: string, rules: Rules, namespaces: readonly string[]): fc.Arbitrary<OraclePolicy> =>
  fc
    .record({
      namespace: fc.option(fc.constantFrom(...namespaces), { nil: undefined, freq: 1 }),
      tier: fc.constantFrom("default", ...tierNames),
      order: maybe(fc.constantFrom(1, 2)),
      selector: fc.oneof(selector, fc.constant<OracleSelector>({ is: "all" })),
      types: fc.subarray(["Ingress", "Egress"] as const),
      stage: fc.constantFrom("normal" as const, "normal", "preDNAT", "doNotTrack"),
      applyOnForward: fc.boolean(),
      ingress: rules,
      egress: rules,
    })
    .map((one): OraclePolicy => {
      if (one.namespace !== undefined) return { ...one, name, stage: "normal", applyOnForward: false };
      if (one.stage === "normal") return { ...one, name };
      if (one.stage === "doNotTrack") return { ...one, name, applyOnForward: true };
      return { ...one, name, applyOnForward: true, types: ["Ingress"], egress: [] };
    });

export const profile = (name: string, rules: Rules): fc.Arbitrary<OracleProfile> =>
  name.startsWith("kns.")
    ? fc.record({
        labels: value.map((team) => ({ "pcns.team": team })),
        ingress: fc.constant([]),
        egress: fc.constant([]),
      })
    : fc.record({ labels: someLabels, ingress: rules, egress: rules });

export const tier = fc.record({
  order: maybe(fc.constantFrom(1, 2, 3)),
  defaultAction: fc.constantFrom("Deny" as const, "Pass"),
});

export const clusters: fc.Arbitrary<OracleCluster> = fc.record({
  items: fc.tuple(...["i1", "i2", "i3", "i4", "i5"].map(item)),
  policies: fc
    .tuple(...["q1", "q2", "q3", "q4"].map((name) => policy(name, rules, namespaces)))
    .chain((all) => fc.subarray([...all])),
  profiles: fc.tuple(...profileNames.map((name) => profile(name, rules))).chain((all) => {
    const entries = profileNames.map((name, at) => [name, all[at]] as const);
    return fc
      .subarray([...entries], { minLength: 3 })
      .map((kept) => Object.fromEntries(kept) as OracleCluster["profiles"]);
  }),
  tiers: fc.dictionary(fc.constantFrom(...tierNames), tier, { maxKeys: 3 }),
});

/** Every pair of addresses of one family with a few kinds of packets. */
export function packets(): readonly OraclePacket[] {
  const all = [...addresses, ...outside];
  const icmp = { type: 8, code: 0 };
  const kinds = [
    { protocol: "TCP" as const, sourcePort: 53, destinationPort: 80, icmp },
    { protocol: "UDP" as const, sourcePort: 4000, destinationPort: 53, icmp },
    { protocol: "ICMP" as const, sourcePort: 0, destinationPort: 0, icmp },
    { protocol: "ICMP" as const, sourcePort: 0, destinationPort: 0, icmp: { type: 0, code: 1 } },
    { protocol: "ICMPv6" as const, sourcePort: 0, destinationPort: 0, icmp: { type: 128, code: 0 } },
    { protocol: "ICMPv6" as const, sourcePort: 0, destinationPort: 0, icmp: { type: 129, code: 1 } },
  ];
  return all.flatMap((source) =>
    all
      .filter((destination) => destination !== source && destination.includes(":") === source.includes(":"))
      .flatMap((destination) =>
        kinds
          .filter(({ protocol }) => protocol !== (source.includes(":") ? "ICMP" : "ICMPv6"))
          .map((kind) => ({ source, destination, ...kind })),
      ),
  );
}

export function keyOfItem({ id, kind, host, namespace = "" }: OracleItem): string {
  switch (kind) {
    case "workload":
      return workloadEndpointKey(
        namespace,
        workloadEndpointName({ node: host, orchestrator: "libnetwork", endpoint: id }),
      );
    case "host":
      return resourceKey({ kind: "HostEndpoint", name: id });
    case "globalSet":
      return resourceKey({ kind: "GlobalNetworkSet", name: id });
    case "set":
      return resourceKey({ kind: "NetworkSet", name: id, namespace });
  }
}

export function documentsOf({ items, policies, profiles, tiers }: OracleCluster): Documents {
  const entries = [
    ...items.map((one) => [keyOfItem(one), document(...itemDocument(one))] as const),
    ...policies.map(policyDocument),
    ...Object.entries(profiles).map(([name, { labels, ingress, egress }]) => {
      const spec = { labelsToApply: labels, ingress: ingress.map(ruleDocument), egress: egress.map(ruleDocument) };
      return [resourceKey({ kind: "Profile", name }), document("Profile", { name }, spec)] as const;
    }),
    ...Object.entries(tiers).map(
      ([name, spec]) => [resourceKey({ kind: "Tier", name }), document("Tier", { name }, spec)] as const,
    ),
  ];
  return Object.fromEntries(entries);
}

function itemDocument(
  one: OracleItem,
): [kind: string, metadata: Record<string, unknown>, spec: Record<string, unknown>] {
  const { id, kind, host, namespace, labels, addresses, profiles, ports, account, isForAll = false } = one;
  switch (kind) {
    case "workload": {
      const name = workloadEndpointName({ node: host, orchestrator: "libnetwork", endpoint: id });
      const ipNetworks = addresses.map((address) => hostCidr(parseIpAddress(address)));
      const identity = { orchestrator: "libnetwork", workload: "libnetwork", node: host, endpoint: id };
      const spec = {
        ...identity,
        serviceAccountName: account,
        ipNetworks,
        profiles,
        interfaceName: `cali${id}`,
        // Without any it is of the usual form (endpoints-elsewhere.ts).
        ports: ports.length === 0 ? undefined : ports,
      };
      return ["WorkloadEndpoint", { name, namespace, labels }, spec];
    }
    case "host":
      return [
        "HostEndpoint",
        { name: id, labels },
        { node: host, interfaceName: isForAll ? "*" : "eth0", expectedIPs: addresses, profiles, ports },
      ];
    case "globalSet":
      return ["GlobalNetworkSet", { name: id, labels }, { nets: addresses }];
    case "set":
      return ["NetworkSet", { name: id, namespace, labels }, { nets: addresses }];
  }
}

function policyDocument(one: OraclePolicy): readonly [key: string, value: string] {
  const { name, namespace, tier, order, types, stage, applyOnForward, ingress, egress } = one;
  const common = { tier, order, types, selector: selectorText(one.selector) };
  const rules = { ingress: ingress.map(ruleDocument), egress: egress.map(ruleDocument) };
  if (namespace !== undefined) {
    const key = resourceKey({ kind: "NetworkPolicy", name, namespace });
    return [key, document("NetworkPolicy", { name, namespace }, { ...common, ...rules })];
  }
  const flags = { applyOnForward, preDNAT: stage === "preDNAT", doNotTrack: stage === "doNotTrack" };
  const key = resourceKey({ kind: "GlobalNetworkPolicy", name });
  return [key, document("GlobalNetworkPolicy", { name }, { ...common, ...rules, ...flags })];
}

function ruleDocument({ source, destination, ...rest }: OracleRule): Record<string, unknown> {
  return { ...rest, source: sideDocument(source), destination: sideDocument(destination) };
}

function sideDocument({ selector, notSelector, namespaceSelector, accounts, ...rest }: OracleSide): unknown {
  const text = (one: OracleSelector | undefined) => (one === undefined ? undefined : selectorText(one));
  return {
    ...rest,
    selector: text(selector),
    notSelector: text(notSelector),
    namespaceSelector: text(namespaceSelector),
    serviceAccounts: accounts === undefined ? undefined : { names: accounts },
  };
}

function selectorText(selector: OracleSelector): string {
  const quoted = (texts: readonly string[]) => texts.map((text) => `'${text}'`).join(", ");
  switch (selector.is) {
    case "all":
    case "global":
      return `${selector.is}()`;
    case "has":
      return `has(${selector.label})`;
    case "equal":
      return `${selector.label} == '${selector.value}'`;
    case "unequal":
      return `${selector.label} != '${selector.value}'`;
    case "contains":
      return `${selector.label} contains '${selector.value}'`;
    case "in":
      return `${selector.label} in {${quoted(selector.values)}}`;
    case "notIn":
      return `${selector.label} not in {${quoted(selector.values)}}`;
    case "not":
      return `!(${selectorText(selector.of)})`;
    case "and":
      return selector.of.map((one) => `(${selectorText(one)})`).join(" && ");
    case "or":
      return selector.of.map((one) => `(${selectorText(one)})`).join(" || ");
  }
}

function document(kind: string, metadata: Record<string, unknown>, spec: Record<string, unknown>): string {
  return JSON.stringify({ kind, apiVersion: "projectcalico.org/v3", metadata, spec });
}
