/** What applies to one endpoint and why, from the resources. */
import type { FailsafePort } from "../enforcement.ts";
import {
  addressOfHost,
  type ClusterModel,
  type ModelEndpoint,
  type ModelHostEndpoint,
  placeOf,
  poolOf,
  settingsOf,
} from "./cluster-model.ts";
import { type Applying, applyingTo } from "./direction.ts";
import { type HostStage, hostEndpointsOf } from "./host-endpoint.ts";
import { type LabelOfItem, labelsOf } from "./labels.ts";
import { ruleText } from "./rule-text.ts";

export interface AppliedList {
  readonly name: string;
  readonly namespace?: string;
  readonly order?: number;
  readonly selector?: string;
  /** Undefined: it says nothing in this direction. */
  readonly inbound?: readonly string[];
  readonly outbound?: readonly string[];
}

export interface AppliedTier {
  readonly name: string;
  readonly order?: number;
  readonly exists: boolean;
  readonly defaultAction: "deny" | "pass";
  readonly policies: readonly AppliedList[];
}

export interface EndpointExplanation {
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
  readonly host: string;
  readonly interfaceName: string;
  readonly addresses: readonly { readonly address: string; readonly place: string }[];
  /** Why it is closed in both directions; none: it is open to what its rules say. */
  readonly problems: readonly string[];
  /** What is odd although it does not close it. */
  readonly warnings: readonly string[];
  readonly labels: readonly LabelOfItem[];
  readonly tiers: readonly AppliedTier[];
  readonly profiles: readonly AppliedList[];
}

/** When a host's own interface asks which policies, in the order of a packet's way. */
export interface HostStageExplanation {
  readonly stage: HostStage;
  readonly tiers: readonly AppliedTier[];
}

export interface HostEndpointExplanation {
  readonly key: string;
  readonly name: string;
  readonly host: string;
  /** "*": all that no other host endpoint is for. */
  readonly interfaceName: string | undefined;
  readonly addresses: readonly string[];
  /** Why it lets nothing but failsafe ports pass; none: what its policies and profiles say holds. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  readonly labels: readonly LabelOfItem[];
  /** Open whatever policy says, but for what the host forwards. */
  readonly failsafe: { readonly inbound: readonly FailsafePort[]; readonly outbound: readonly FailsafePort[] };
  readonly stages: readonly HostStageExplanation[];
  readonly profiles: readonly AppliedList[];
}

const hostStages: readonly HostStage[] = ["doNotTrack", "preDNAT", "applyOnForward", "normal"];

export function explainHostEndpoint(model: ClusterModel, endpoint: ModelHostEndpoint): HostEndpointExplanation {
  const { key, name, host, interfaceName, ips, source } = endpoint;
  const { failsafeInbound, failsafeOutbound } = settingsOf(model, host).settings;
  const { problems, profiles } = applyingTo(model, endpoint, "normal");
  const rivals = hostEndpointsOf(model, host).filter((other) => other.interfaceName === interfaceName);
  const warnings = [
    ...(model.nodes.has(host) ? [] : [`there is no host ${host}: nothing enforces it`]),
    ...(interfaceName !== undefined && rivals[0] !== endpoint
      ? [`${rivals[0]?.name} is for the same interface and comes first`]
      : []),
  ];
  return {
    key,
    name,
    host,
    interfaceName,
    addresses: ips,
    problems,
    warnings,
    labels: labelsOf(model, source),
    failsafe: { inbound: failsafeInbound, outbound: failsafeOutbound },
    stages: hostStages.map((stage) => {
      const tiers = appliedTiers(model, applyingTo(model, endpoint, stage));
      const neverDenies = stage === "doNotTrack" || stage === "preDNAT";
      return { stage, tiers: neverDenies ? tiers.map((tier) => ({ ...tier, defaultAction: "pass" })) : tiers };
    }),
    profiles: appliedProfiles(model, profiles),
  };
}

export function explainEndpoint(model: ClusterModel, endpoint: ModelEndpoint): EndpointExplanation {
  const { key, host, interfaceName, document, ips, source } = endpoint;
  const applying = applyingTo(model, endpoint);
  const { profiles, problems } = applying;
  return {
    key,
    name: document.metadata.name,
    namespace: document.metadata.namespace ?? "",
    host,
    interfaceName,
    addresses: ips.map((address) => ({ address, place: placeText(model, endpoint, address) })),
    problems,
    warnings: warningsOf(model, endpoint),
    labels: labelsOf(model, source),
    tiers: appliedTiers(model, applying),
    profiles: appliedProfiles(model, profiles),
  };
}

function appliedTiers(model: ClusterModel, { tiers }: Applying): readonly AppliedTier[] {
  return tiers.map(({ name, policies }) => {
    const tier = model.tiers.get(name);
    return {
      name,
      ...(tier?.order === undefined ? {} : { order: tier.order }),
      exists: tier !== undefined,
      defaultAction: tier?.defaultAction ?? "deny",
      policies: policies.map((policy) => ({
        name: policy.name,
        ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
        ...(policy.order === undefined ? {} : { order: policy.order }),
        selector: policy.selectorText,
        ...(policy.inbound ? { inbound: policy.document.ingress.map(ruleText) } : {}),
        ...(policy.outbound ? { outbound: policy.document.egress.map(ruleText) } : {}),
      })),
    };
  });
}

function appliedProfiles(model: ClusterModel, names: readonly string[]): readonly AppliedList[] {
  return names.map((name) => {
    const { ingress, egress } = model.profiles.get(name)?.document ?? { ingress: [], egress: [] };
    return { name, inbound: ingress.map(ruleText), outbound: egress.map(ruleText) };
  });
}

function placeText(model: ClusterModel, endpoint: ModelEndpoint, address: ModelEndpoint["ips"][number]): string {
  const pool = poolOf(model, address);
  const place = placeOf(model, address);
  const inPool = pool === undefined ? "in no pool" : `pool ${pool.cidr}`;
  if (place === undefined) return `${inPool}, in no block: other hosts have no route to it`;
  const borrowed = place.owner === endpoint.host ? "" : `, borrowed by ${endpoint.host}`;
  return `${inPool}, block ${place.block} of ${place.owner ?? "nobody"}${borrowed}`;
}

function warningsOf(model: ClusterModel, endpoint: ModelEndpoint): readonly string[] {
  const warnings: string[] = [];
  const { host, ips, key } = endpoint;
  if (!model.nodes.has(host)) warnings.push(`host ${host} has no Node resource: no other host has a way to it`);
  for (const address of ips) {
    const family = address.includes(":") ? 6 : 4;
    if (model.nodes.has(host) && addressOfHost(model, host, family) === undefined)
      warnings.push(`host ${host} has no IPv${family} address: no other host has a way to ${address}`);
    const place = placeOf(model, address);
    if (place !== undefined && !place.allocated) warnings.push(`${address} is not allocated in block ${place.block}`);
    if (place?.allocated && place.host !== host)
      warnings.push(`other hosts send ${address} to ${place.host ?? "nobody"}`);
    for (const other of model.endpoints.values())
      if (other.key !== key && other.ips.includes(address)) warnings.push(`${address} stands in ${other.key} too`);
  }
  return warnings;
}
