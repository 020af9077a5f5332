/** What applies to one endpoint and why, from the resources. */
import { addressOfHost, type ClusterModel, type ModelEndpoint, placeOf, poolOf } from "./cluster-model.ts";
import { applyingTo } from "./direction.ts";
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

export function explainEndpoint(model: ClusterModel, endpoint: ModelEndpoint): EndpointExplanation {
  const { key, host, interfaceName, document, ips, source } = endpoint;
  const { tiers, profiles, problems } = applyingTo(model, endpoint);
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
    tiers: tiers.map(({ name, policies }) => {
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
    }),
    profiles: profiles.map((name) => {
      const { ingress, egress } = model.profiles.get(name)?.document ?? { ingress: [], egress: [] };
      return { name, inbound: ingress.map(ruleText), outbound: egress.map(ruleText) };
    }),
  };
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
