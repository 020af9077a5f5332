/** What one host must enforce, computed anew from all documents: slow, and with nothing remembered. */

import { expect } from "bun:test";
import type { Cidr } from "../../base/addresses.ts";
import { decodeProfile } from "../../model/profile.ts";
import { matches } from "../../model/selector/selector.ts";
import type { EndpointEnforcement, RuleList } from "../enforcement.ts";
import { builtInSettings } from "../host-settings.ts";
import { comparePolicies } from "../policy-order.ts";
import { type Policy, readEndpoint, readGlobalNetworkSet, readHostEndpoint, readPolicy } from "../resource-readers.ts";
import { type ConvertedRules, convertRules } from "../rule-conversion.ts";
import type { Documents } from "./cluster-documents.ts";

/** The same answer by the shortest way: everything is computed anew, nothing is remembered. */
export function fromScratch(state: Documents): unknown {
  const of = (part: string) =>
    Object.entries(state)
      .filter(([key]) => key.includes(part))
      .sort(([a], [b]) => (a < b ? -1 : 1));
  const readable = <Value>(read: () => Value): Value[] => {
    try {
      return [read()];
    } catch {
      return [];
    }
  };
  const profiles = new Map(
    of("/profiles/").flatMap(([key, text]) =>
      readable(() => decodeProfile(text)).map((value) => [key.split("/").at(-1) ?? "", value] as const),
    ),
  );
  const endpoints = of("/workloadendpoints/").flatMap(([key, text]) => readable(() => readEndpoint(key, text)));
  const labelsOf = (source: { labels: Record<string, string>; profiles: readonly string[] }) => {
    const inherited = source.profiles.toReversed().map((name) => profiles.get(name)?.spec.labelsToApply ?? {});
    const effective: Record<string, string> = Object.assign({}, ...inherited, source.labels);
    return new Map(Object.entries(effective));
  };
  const hostInterfaces = of("/hostendpoints/").flatMap(([key, text]) => readable(() => readHostEndpoint(key, text)));
  const labelledThings = [
    ...endpoints,
    ...hostInterfaces,
    ...of("/globalnetworksets/").map(([key, text]) => readGlobalNetworkSet(key, text)),
  ];
  const policies = of("/globalnetworkpolicies/")
    .concat(of("/networkpolicies/"))
    .map(([key, text]) => {
      const parts = key.split("/");
      return readPolicy(key, text, parts.at(-1) ?? "", parts.at(-3) === "networkpolicies" ? parts.at(-2) : undefined);
    });
  const tiers = new Map(
    of("/tiers/").map(([key, text]) => [key.split("/").at(-1) ?? "", JSON.parse(text).spec] as const),
  );

  const lists = new Map<string, RuleList>();
  const sets = new Map<string, Cidr[]>();
  const portSets = new Map<string, string[]>();
  const use = (id: string, rules: ConvertedRules) => {
    lists.set(id, rules.list);
    for (const [set, { selector, port }] of rules.sets) {
      const found = labelledThings.filter(({ source }) => matches(selector, labelsOf(source)));
      if (port === undefined) {
        sets.set(set, [...new Set(found.flatMap(({ addresses }) => addresses))].sort());
        continue;
      }
      const members = found.flatMap(({ addresses, ports }) =>
        ports
          .filter(({ name, protocol }) => name === port.name && (port.protocol ?? protocol) === protocol)
          .flatMap((one) => addresses.map((cidr) => `${cidr.split("/")[0]},${one.protocol},${one.port}`)),
      );
      portSets.set(set, [...new Set(members)].sort());
    }
    return id;
  };
  const tiersOf = (selecting: readonly Policy[], wanted: (policy: Policy) => boolean = () => true) => {
    const rank = (name: string) => (tiers.has(name) ? (tiers.get(name).order ?? 1e12) : 1e15);
    const own = selecting.filter(wanted);
    const names = [...new Set(own.map((one) => one.tier))].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const idsOf = (name: string, direction: "inbound" | "outbound") =>
      own
        .filter((one) => one.tier === name && one[direction])
        .map(({ id, rules }) => (rules.result.ok ? use(id, rules.result.rules) : ""));
    return names.map((name) => ({
      name,
      defaultAction: tiers.get(name)?.defaultAction === "Pass" ? ("pass" as const) : ("deny" as const),
      inbound: idsOf(name, "inbound"),
      outbound: idsOf(name, "outbound"),
    }));
  };
  const hostEnforcement = hostInterfaces
    .filter(({ host }) => host === "h1")
    .map(({ key, name, interfaceName, ips, source }) => {
      const selecting = policies.filter(({ selector }) => matches(selector, labelsOf(source))).sort(comparePolicies);
      const neverDenies = { defaultAction: "pass" as const };
      return {
        key,
        name,
        interfaceName,
        expectedIps: ips,
        tiers: tiersOf(selecting, ({ stage }) => stage === "normal"),
        profiles: source.profiles.map((profileName) =>
          use(`profile/${profileName}`, convertRules(profiles.get(profileName)?.spec ?? {}, undefined)),
        ),
        forwardTiers: tiersOf(selecting, ({ stage, onForward }) => stage === "normal" && onForward),
        preDnatTiers: tiersOf(selecting, ({ stage }) => stage === "preDnat").map((one) => ({
          ...one,
          ...neverDenies,
          outbound: [],
        })),
        untrackedTiers: tiersOf(selecting, ({ stage }) => stage === "untracked").map((one) => ({
          ...one,
          ...neverDenies,
        })),
        problems: [],
      };
    });
  const enforcement = endpoints
    .filter(({ host }) => host === "h1")
    .map((local): EndpointEnforcement => {
      const selecting = policies
        .filter(({ selector, forWorkloads }) => forWorkloads && matches(selector, labelsOf(local.source)))
        .sort(comparePolicies);
      const problems = [
        ...local.source.profiles.filter((name) => !profiles.has(name)).map((name) => `profile ${name} does not exist`),
        ...selecting.flatMap(({ rules }) => (rules.result.ok ? [] : [rules.result.problem])),
      ];
      const { key, interfaceName, mac, ips } = local;
      if (problems.length > 0) return { key, interfaceName, mac, addresses: ips, tiers: [], profiles: [], problems };
      return {
        key,
        interfaceName,
        mac,
        addresses: ips,
        tiers: tiersOf(selecting),
        profiles: local.source.profiles.map((name) =>
          use(`profile/${name}`, convertRules(profiles.get(name)?.spec ?? {}, undefined)),
        ),
        problems,
      };
    });

  const addressOf = new Map(
    of("/nodes/").map(([key, text]) => [key.split("/").at(-1), JSON.parse(text).spec.bgp.ipv4Address.split("/")[0]]),
  );
  const routes: [string, string][] = [];
  const own: string[] = [];
  for (const [, text] of of("/assignment/")) {
    const { cidr, affinity, allocations, attributes } = JSON.parse(text);
    const owner = affinity?.slice("host:".length);
    if (owner === "h1") own.push(cidr);
    else if (addressOf.has(owner)) routes.push([cidr, addressOf.get(owner)]);
    for (const [ordinal, index] of allocations.entries()) {
      const holder = index === null ? undefined : attributes[index].secondary.node;
      if (holder === undefined || holder === owner || holder === "h1" || !addressOf.has(holder)) continue;
      const last = Number(cidr.split("/")[0].split(".").at(-1)) + ordinal;
      routes.push([`10.0.0.${last}/32`, addressOf.get(holder)]);
    }
  }
  const sorted = <Value>(entries: Iterable<readonly [string, Value]>) =>
    Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    endpoints: sorted(enforcement.map((one) => [one.key, one] as const)),
    lists: sorted(lists),
    sets: sorted(sets),
    hostEndpoints: sorted(hostEnforcement.map((one) => [one.key, one] as const)),
    portSets: sorted(portSets),
    settings: of("/felixconfigurations/").length === 0 ? builtInSettings : expect.anything(),
    hosts: [...addressOf.values()].sort(),
    pools: of("/ippools/").map(([, text]) => ({
      cidr: JSON.parse(text).spec.cidr,
      natOutgoing: JSON.parse(text).spec.natOutgoing,
    })),
    routes: sorted(routes),
    blocks: own,
  };
}
