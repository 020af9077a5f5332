/**
 * From stored documents to what the calculation uses of them, per kind. Each reader throws BadInput for a document that
 * counts as absent; a policy never counts as absent, because its absence might open what it closes: it comes out with
 * the problem instead, and closes whomever it selects (everybody, if even that cannot be read).
 */

import { z } from "zod";
import { type Cidr, type IpAddress, networkAddress, parseCidr } from "../base/addresses.ts";
import { BadInput, describeError } from "../base/errors.ts";
import { type InterfaceName, parseInterfaceName } from "../base/names.ts";
import { escapeComponent } from "../model/keys.ts";
import { GlobalNetworkSet, HostEndpoint, NetworkSet } from "../model/label-owners.ts";
import {
  checkPolicyFlags,
  decodeGlobalNetworkPolicy,
  decodeNetworkPolicy,
  type GlobalNetworkPolicy,
  type NetworkPolicy,
  tierOf,
} from "../model/policy-resource.ts";
import { absentOr, decode } from "../model/resource.ts";
import type { Selector } from "../model/selector/selector.ts";
import {
  forcedLabels,
  namespaceLabel,
  networksOf,
  serviceAccountLabel,
  WorkloadEndpoint,
} from "../model/workload-endpoint.ts";
import type { RuleListId } from "./enforcement.ts";
import type { LabelSource } from "./label-index.ts";
import { convertRules, type RulesDocument } from "./rule-conversion.ts";
import { policySelector } from "./rule-selectors.ts";
import { RuleSource } from "./rule-source.ts";

/** Something that has addresses and labels: what selectors of rules can mean. */
export interface Labelled {
  readonly source: LabelSource;
  readonly addresses: readonly Cidr[];
}

export interface Endpoint extends Labelled {
  readonly key: string;
  readonly host: string;
  readonly interfaceName: InterfaceName;
  readonly mac: string | undefined;
  readonly ips: readonly IpAddress[];
  /** Why it must stay closed, whatever its rules are. */
  readonly problems: readonly string[];
}

/** @throws BadInput */
export function readEndpoint(key: string, text: string): Endpoint {
  const document = decode(WorkloadEndpoint, text, key);
  const { metadata, spec } = document;
  if (spec.interfaceName === undefined) throw new BadInput(`${key}: spec.interfaceName`, "is missing", "a name");
  const addresses = networksOf(document, key);
  if (addresses.length === 0) throw new BadInput(`${key}: spec.ipNetworks`, "is empty", "at least one address");
  const spoofing = (spec.allowSpoofedSourcePrefixes ?? []).length > 0;
  const labels = forcedLabels(metadata.labels, metadata.namespace ?? "default", spec.orchestrator);
  const account = spec.serviceAccountName;
  return {
    key,
    host: spec.node,
    interfaceName: parseInterfaceName(spec.interfaceName, `${key}: spec.interfaceName`),
    mac: spec.mac === "" ? undefined : spec.mac,
    addresses,
    ips: addresses.map(networkAddress),
    problems: spoofing ? ["allowSpoofedSourcePrefixes is not enabled on this host"] : [],
    source: {
      labels: unforgeable(account ? { ...labels, [serviceAccountLabel]: account } : labels),
      profiles: spec.profiles ?? [],
    },
  };
}

/** @throws BadInput */
export function readHostEndpoint(key: string, text: string): Labelled {
  const { metadata, spec } = decode(HostEndpoint, text, key);
  return {
    source: { labels: unforgeable(metadata.labels ?? {}), profiles: spec.profiles ?? [] },
    addresses: (spec.expectedIPs ?? []).map((address) => parseCidr(address, `${key}: spec.expectedIPs`)),
  };
}

/** @throws BadInput */
export function readGlobalNetworkSet(key: string, text: string): Labelled {
  const { metadata, spec } = decode(GlobalNetworkSet, text, key);
  return {
    source: { labels: unforgeable(metadata.labels ?? {}), profiles: [] },
    addresses: (spec.nets ?? []).map((net) => parseCidr(net, `${key}: spec.nets`)),
  };
}

/** @throws BadInput */
export function readNetworkSet(key: string, text: string, namespace: string): Labelled {
  const { metadata, spec } = decode(NetworkSet, text, key);
  return {
    source: {
      labels: { ...unforgeable(metadata.labels ?? {}), [namespaceLabel]: namespace },
      profiles: [`kns.${namespace}`],
    },
    addresses: (spec.nets ?? []).map((net) => parseCidr(net, `${key}: spec.nets`)),
  };
}

export interface Policy {
  readonly key: string;
  readonly id: RuleListId;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly kind: "GlobalNetworkPolicy" | "NetworkPolicy";
  readonly tier: string;
  readonly order: number | undefined;
  readonly selector: Selector;
  readonly inbound: boolean;
  readonly outbound: boolean;
  /** False: it is for host endpoints only (doNotTrack, preDNAT). */
  readonly forWorkloads: boolean;
  readonly rules: RuleSource;
}

/** Never throws: what cannot be read closes whomever it is for. */
export function readPolicy(key: string, text: string, name: string, namespace: string | undefined): Policy {
  let tier = "default";
  try {
    const document = namespace === undefined ? decodeGlobalNetworkPolicy(text) : decodeNetworkPolicy(text);
    tier = tierOf(document.spec);
    return policyOf(key, document, name, namespace);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    const problem = `policy ${name}: ${describeError(error)}`;
    return {
      key,
      id: policyId(tier, namespace, name),
      name,
      namespace,
      kind: namespace === undefined ? "GlobalNetworkPolicy" : "NetworkPolicy",
      tier,
      order: undefined,
      selector: readableSelector(text, namespace),
      inbound: true,
      outbound: true,
      forWorkloads: true,
      rules: RuleSource.broken(problem),
    };
  }
}

function policyOf(
  key: string,
  { spec }: GlobalNetworkPolicy | NetworkPolicy,
  name: string,
  namespace: string | undefined,
): Policy {
  const tier = tierOf(spec);
  checkPolicyFlags(namespace === undefined ? spec : { types: spec.types });
  const { types = [] } = spec;
  const rules: RulesDocument = { ingress: spec.ingress, egress: spec.egress };
  return {
    key,
    id: policyId(tier, namespace, name),
    name,
    namespace,
    kind: namespace === undefined ? "GlobalNetworkPolicy" : "NetworkPolicy",
    tier,
    order: spec.order,
    selector: policySelector(spec, namespace),
    inbound: types.length === 0 || types.includes("Ingress"),
    outbound: types.length === 0 || types.includes("Egress"),
    forWorkloads:
      namespace !== undefined || (!("doNotTrack" in spec && spec.doNotTrack) && !("preDNAT" in spec && spec.preDNAT)),
    rules: new RuleSource(`policy ${name}`, () => convertRules(rules, namespace)),
  };
}

function policyId(tier: string, namespace: string | undefined, name: string): RuleListId {
  // A tier that cannot exist (with a slash) must not make two policies look like one.
  const base = `policy/${escapeComponent(tier)}`;
  return namespace === undefined ? `${base}/${name}` : `${base}/${namespace}/${name}`;
}

const OnlySubject = z.looseObject({
  spec: z.looseObject({
    selector: absentOr(z.string()),
    namespaceSelector: absentOr(z.string()),
    serviceAccountSelector: absentOr(z.string()),
  }),
});

/** For whom a policy is that cannot be read otherwise: everybody of its namespace, if that is not readable either. */
function readableSelector(text: string, namespace: string | undefined): Selector {
  try {
    return policySelector(decode(OnlySubject, text).spec, namespace);
  } catch (error) {
    if (error instanceof BadInput) return policySelector({}, namespace);
    throw error;
  }
}

/** Labels with these prefixes come from profiles of namespaces and service accounts only. */
function unforgeable(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([label]) => !label.startsWith("pcns.") && !label.startsWith("pcsa.")),
  );
}
