/**
 * From stored documents to what the calculation uses of them, per kind. Each reader throws BadInput for a document that
 * counts as absent; a policy never counts as absent, because its absence might open what it closes: it comes out with
 * the problem instead, and closes whomever it selects (everybody, if even that cannot be read).
 */

import { z } from "zod";
import { type Cidr, type IpAddress, networkAddress, parseCidr } from "../base/addresses.ts";
import { BadInput, describeError } from "../base/errors.ts";
import { type InterfaceName, parseInterfaceName } from "../base/names.ts";
import { dscpAnnotation, parseDscp } from "../model/dscp.ts";
import { namedPorts } from "../model/endpoint-port.ts";
import { parseJson } from "../model/json.ts";
import { escapeComponent } from "../model/keys.ts";
import { checkHostEndpoint, GlobalNetworkSet, HostEndpoint, NetworkSet } from "../model/label-owners.ts";
import {
  checkPolicyFlags,
  decodeGlobalNetworkPolicy,
  decodeNetworkPolicy,
  type GlobalNetworkPolicy,
  type NetworkPolicy,
} from "../model/policy-resource.ts";
import { absentOr, check, decode } from "../model/resource.ts";
import type { Selector } from "../model/selector/selector.ts";
import { gatewayAddressesOf, siblingAddressesOf } from "../model/sibling-addresses.ts";
import { tierOf } from "../model/tiered-policies.ts";
import { isUsualEndpoint } from "../model/usual-endpoint.ts";
import { namespaceLabel, networksOf, WorkloadEndpoint } from "../model/workload-endpoint.ts";
import { endpointLabels, unforgeable } from "./endpoint-labels.ts";
import type { EndpointLimits, RuleListId } from "./enforcement.ts";
import type { LabelSource } from "./label-index.ts";
import type { Members } from "./members.ts";
import { convertRules, type RulesDocument } from "./rule-conversion.ts";
import { policySelector } from "./rule-selectors.ts";
import { RuleSource } from "./rule-source.ts";
import { endpointLimits } from "./traffic-limits.ts";

/** Something that has addresses and labels: what selectors of rules can mean. */
export interface Labelled extends Members {
  readonly source: LabelSource;
}

/** Something policies select. */
interface Subject extends Labelled {
  readonly key: string;
  readonly host: string;
  readonly ips: readonly IpAddress[];
  /** Undefined: none is set. */
  readonly dscp: number | undefined;
}

export interface Endpoint extends Subject {
  readonly kind: "workload";
  readonly interfaceName: InterfaceName;
  readonly mac: string | undefined;
  readonly allowedSources: readonly Cidr[];
  /** What its container has on other interfaces. */
  readonly siblingAddresses: readonly IpAddress[];
  /** Those of them that it sends by. */
  readonly gatewayAddresses: readonly IpAddress[];
  readonly limits: EndpointLimits | undefined;
  /** Why it must stay closed, whatever its rules are, unless the host permits foreign source addresses. */
  readonly problems: readonly string[];
}

export interface HostInterface extends Subject {
  readonly kind: "host";
  readonly name: string;
  readonly interfaceName: InterfaceName | "*" | undefined;
}

/** @throws BadInput */
export function readEndpoint(key: string, text: string): Endpoint {
  const parsed = parseJson(text, key);
  const document = isUsualEndpoint(parsed) ? parsed : check(WorkloadEndpoint, parsed, key);
  const { metadata, spec } = document;
  if (spec.interfaceName === undefined) throw new BadInput(`${key}: spec.interfaceName`, "is missing", "a name");
  const addresses = networksOf(document, key);
  if (addresses.length === 0) throw new BadInput(`${key}: spec.ipNetworks`, "is empty", "at least one address");
  const allowedSources = (spec.allowSpoofedSourcePrefixes ?? []).map((net) =>
    parseCidr(net, `${key}: spec.allowSpoofedSourcePrefixes`),
  );
  return {
    kind: "workload",
    key,
    host: spec.node,
    interfaceName: parseInterfaceName(spec.interfaceName, `${key}: spec.interfaceName`),
    mac: spec.mac === "" ? undefined : spec.mac,
    ips: addresses.map(networkAddress),
    allowedSources,
    siblingAddresses: siblingAddressesOf(metadata.annotations),
    gatewayAddresses: gatewayAddressesOf(metadata.annotations),
    limits: endpointLimits(spec.qosControls),
    dscp: parseDscp(spec.qosControls?.dscp ?? ""),
    problems: allowedSources.length > 0 ? ["allowSpoofedSourcePrefixes is not enabled on this host"] : [],
    addresses,
    ports: namedPorts(spec.ports, `${key}: spec.ports`),
    source: {
      labels: endpointLabels(metadata.labels, {
        namespace: metadata.namespace,
        orchestrator: spec.orchestrator,
        account: spec.serviceAccountName,
      }),
      profiles: spec.profiles ?? [],
    },
  };
}

/** @throws BadInput */
export function readHostEndpoint(key: string, text: string): HostInterface {
  const document = decode(HostEndpoint, text, key);
  checkHostEndpoint(document, key);
  const { metadata, spec } = document;
  const addresses = (spec.expectedIPs ?? []).map((address) => parseCidr(address, `${key}: spec.expectedIPs`));
  const name = spec.interfaceName === "" ? undefined : spec.interfaceName;
  return {
    kind: "host",
    key,
    host: spec.node ?? "",
    name: metadata.name,
    interfaceName: name === undefined || name === "*" ? name : parseInterfaceName(name, `${key}: spec.interfaceName`),
    ips: addresses.map(networkAddress),
    // One that cannot be read counts as not given: nothing hangs on it, and without the endpoint the interface were open.
    dscp: parseDscp(metadata.annotations?.[dscpAnnotation] ?? ""),
    addresses,
    ports: namedPorts(spec.ports, `${key}: spec.ports`),
    source: { labels: unforgeable(metadata.labels ?? {}), profiles: spec.profiles ?? [] },
  };
}

/** @throws BadInput */
export function readGlobalNetworkSet(key: string, text: string): Labelled {
  const { metadata, spec } = decode(GlobalNetworkSet, text, key);
  return {
    source: { labels: unforgeable(metadata.labels ?? {}), profiles: [] },
    addresses: (spec.nets ?? []).map((net) => parseCidr(net, `${key}: spec.nets`)),
    ports: [],
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
    ports: [],
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
  /** When a host endpoint asks it. */
  readonly stage: "normal" | "preDnat" | "untracked";
  /** It judges what a host endpoint forwards, too. */
  readonly onForward: boolean;
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
      stage: "normal",
      onForward: true,
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
  const flags = namespace === undefined ? (spec as GlobalNetworkPolicy["spec"]) : { types: spec.types };
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
    forWorkloads: flags.doNotTrack !== true && flags.preDNAT !== true,
    stage: flags.doNotTrack === true ? "untracked" : flags.preDNAT === true ? "preDnat" : "normal",
    onForward: flags.applyOnForward === true,
    rules: new RuleSource(`policy ${name}`, () => {
      checkPolicyFlags(flags);
      return convertRules(rules, namespace);
    }),
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
