/**
 * explain/ answers "would this packet pass, and why" from the resources alone. It is written apart from the incremental
 * calculation beside it, so that each is a check on the other: they share how documents are read, and nothing of how
 * labels, selectors, order, tiers and rules come to a verdict.
 * - Everything is computed anew for one question; cost follows the cluster, and that is fine for a person who asks.
 * Absent on purpose: indexes, address sets, remembered state, I/O.
 *
 * This file: all documents of the store as one picture.
 */
import { type Cidr, cidrContains, hostCidr, type IpAddress, prefixLength } from "../../base/addresses.ts";
import { BadInput, describeError } from "../../base/errors.ts";
import { decodeClusterInformation } from "../../model/cluster-information.ts";
import { defaultAllowProfile, defaultAllowProfileName } from "../../model/default-profile.ts";
import { type ReadFelixConfiguration, readFelixConfiguration } from "../../model/felix-configuration.ts";
import { decodeIpPool, type Pool } from "../../model/ip-pool.ts";
import { allocationsOf, type Block, decodeBlock, ownerHost } from "../../model/ipam-documents.ts";
import { parseBlockKey, parseResourceKey, type ResourceKey } from "../../model/keys.ts";
import { HostEndpoint } from "../../model/label-owners.ts";
import { decodeNode, hostAddress, type Node } from "../../model/node.ts";
import { decodeGlobalNetworkPolicy, decodeNetworkPolicy } from "../../model/policy-resource.ts";
import { decodeProfile, type Profile } from "../../model/profile.ts";
import { decode } from "../../model/resource.ts";
import type { Rule } from "../../model/rule.ts";
import { decodeTier } from "../../model/tier.ts";
import { WorkloadEndpoint } from "../../model/workload-endpoint.ts";
import { type EffectiveSettings, effectiveSettings } from "../host-settings.ts";
import {
  type Endpoint,
  type HostInterface,
  type Labelled,
  type Policy,
  readEndpoint,
  readGlobalNetworkSet,
  readHostEndpoint,
  readNetworkSet,
  readPolicy,
} from "../resource-readers.ts";
import { convertRules } from "../rule-conversion.ts";

export interface ModelEndpoint extends Endpoint {
  readonly document: WorkloadEndpoint;
}

/** One of a host's own interfaces. */
export interface ModelHostEndpoint extends HostInterface {
  readonly document: HostEndpoint;
}

/** Something with labels and addresses, and what to call it. */
export interface LabelledItem {
  readonly key: string;
  readonly title: string;
  readonly labelled: Labelled;
  readonly ports: NonNullable<WorkloadEndpoint["spec"]["ports"]>;
}

export interface Rules {
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

export interface ModelPolicy extends Policy {
  readonly document: Rules;
  readonly selectorText: string;
  /** Why whoever it selects is closed. */
  readonly problem: string | undefined;
}

export interface ModelProfile {
  readonly name: string;
  readonly document: Rules;
  readonly labels: Readonly<Record<string, string>>;
  readonly problem: string | undefined;
}

export interface ModelTier {
  readonly order: number | undefined;
  readonly defaultAction: "deny" | "pass";
}

export interface ClusterModel {
  readonly endpoints: ReadonlyMap<string, ModelEndpoint>;
  readonly items: readonly LabelledItem[];
  readonly policies: readonly ModelPolicy[];
  readonly profiles: ReadonlyMap<string, ModelProfile>;
  readonly tiers: ReadonlyMap<string, ModelTier>;
  readonly pools: readonly Pool[];
  readonly blocks: readonly Block[];
  readonly nodes: ReadonlyMap<string, Node>;
  readonly configurations: ReadonlyMap<string, ReadFelixConfiguration>;
  readonly clusterType: string | undefined;
  readonly hostEndpoints: ReadonlyMap<string, ModelHostEndpoint>;
  /** Documents that cannot be read and count as absent. */
  readonly invalid: ReadonlyMap<string, string>;
}

/** @param documents every key below /calico/ with its value. */
export function readCluster(documents: Iterable<readonly [key: string, value: string]>): ClusterModel {
  const endpoints = new Map<string, ModelEndpoint>();
  const items: LabelledItem[] = [];
  const policies: ModelPolicy[] = [];
  const profiles = new Map([[defaultAllowProfileName, profileOf(defaultAllowProfileName, defaultAllowProfile)]]);
  const tiers = new Map<string, ModelTier>();
  const pools: Pool[] = [];
  const blocks: Block[] = [];
  const nodes = new Map<string, Node>();
  const configurations = new Map<string, ReadFelixConfiguration>();
  const hostEndpoints = new Map<string, ModelHostEndpoint>();
  const invalid = new Map<string, string>();
  let clusterType: string | undefined;

  const read = (key: string, value: string, { kind, name, namespace }: ResourceKey): void => {
    switch (kind) {
      case "WorkloadEndpoint": {
        const labelled = readEndpoint(key, value);
        const document = decode(WorkloadEndpoint, value, key);
        endpoints.set(key, { ...labelled, document });
        items.push({
          key,
          title: `endpoint ${document.spec.endpoint.slice(0, 12)} of ${labelled.host}`,
          labelled,
          ports: document.spec.ports ?? [],
        });
        break;
      }
      case "HostEndpoint": {
        const labelled = readHostEndpoint(key, value);
        const document = decode(HostEndpoint, value, key);
        hostEndpoints.set(key, { ...labelled, document });
        items.push({ key, title: `host endpoint ${name}`, labelled, ports: document.spec.ports ?? [] });
        break;
      }
      case "GlobalNetworkSet":
        items.push({ key, title: `network set ${name}`, labelled: readGlobalNetworkSet(key, value), ports: [] });
        break;
      case "NetworkSet": {
        const labelled = readNetworkSet(key, value, namespace ?? "");
        items.push({ key, title: `network set ${namespace}/${name}`, labelled, ports: [] });
        break;
      }
      case "Profile":
        if (name !== defaultAllowProfileName) profiles.set(name, profileOf(name, decodeProfile(value, key)));
        break;
      case "GlobalNetworkPolicy":
      case "NetworkPolicy":
        policies.push(policyOf(key, value, name, namespace));
        break;
      case "Tier": {
        const { order, defaultAction } = decodeTier(value, key).spec;
        tiers.set(name, { order, defaultAction: defaultAction === "Pass" ? "pass" : "deny" });
        break;
      }
      case "IPPool":
        pools.push(decodeIpPool(value, key));
        break;
      case "Node":
        nodes.set(name, decodeNode(value, key));
        break;
      case "FelixConfiguration":
        configurations.set(name, readFelixConfiguration(value, key));
        break;
      case "ClusterInformation":
        clusterType = decodeClusterInformation(value, key).spec.clusterType;
        break;
      default:
        break; // kinds that say nothing about a packet of an endpoint
    }
  };
  for (const [key, value] of documents) {
    try {
      const resource = parseResourceKey(key);
      if (resource !== undefined) read(key, value, resource);
      else if (parseBlockKey(key) !== undefined) blocks.push(decodeBlock(value, key));
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      invalid.set(key, describeError(error));
    }
  }
  return {
    endpoints,
    items,
    policies,
    profiles,
    tiers,
    pools,
    blocks,
    nodes,
    configurations,
    clusterType,
    hostEndpoints,
    invalid,
  };
}

function profileOf(name: string, { spec }: Profile): ModelProfile {
  const document = { ingress: spec.ingress ?? [], egress: spec.egress ?? [] };
  return { name, document, labels: spec.labelsToApply ?? {}, problem: problemOf(`profile ${name}`, document) };
}

function problemOf(title: string, document: Rules): string | undefined {
  try {
    convertRules(document, undefined);
    return undefined;
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return `${title}: ${describeError(error)}`;
  }
}

function policyOf(key: string, text: string, name: string, namespace: string | undefined): ModelPolicy {
  const policy = readPolicy(key, text, name, namespace);
  const { result } = policy.rules;
  const problem = result.ok ? undefined : result.problem;
  try {
    const { spec } = namespace === undefined ? decodeGlobalNetworkPolicy(text) : decodeNetworkPolicy(text);
    const selectorText = spec.selector === undefined || spec.selector.trim() === "" ? "all()" : spec.selector;
    return { ...policy, problem, selectorText, document: { ingress: spec.ingress ?? [], egress: spec.egress ?? [] } };
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return { ...policy, problem: problem ?? describeError(error), selectorText: "unreadable", document: noRules };
  }
}

const noRules: Rules = { ingress: [], egress: [] };

/** The endpoints that have the address; more than one is a mistake somebody made. */
export function endpointsAt(model: ClusterModel, address: IpAddress): readonly ModelEndpoint[] {
  return [...model.endpoints.values()].filter(({ ips }) => ips.includes(address));
}

/** Endpoints, host endpoints and network sets that the address belongs to. */
export function itemsAt(model: ClusterModel, address: IpAddress): readonly LabelledItem[] {
  return model.items.filter(({ labelled }) => labelled.addresses.some((cidr) => cidrContains(cidr, address)));
}

export function hostWithAddress(model: ClusterModel, address: IpAddress): string | undefined {
  const family = address.includes(":") ? 6 : 4;
  for (const [name, node] of model.nodes) if (hostAddress(node, family) === address) return name;
  return undefined;
}

export function addressOfHost(model: ClusterModel, host: string, family: 4 | 6): IpAddress | undefined {
  const node = model.nodes.get(host);
  return node && hostAddress(node, family);
}

export function poolOf(model: ClusterModel, address: IpAddress): Pool | undefined {
  return model.pools.find(({ cidr }) => cidrContains(cidr, address));
}

/** What FelixConfiguration means on the host. */
export function settingsOf({ configurations, nodes, clusterType }: ClusterModel, host: string): EffectiveSettings {
  return effectiveSettings(host, configurations, nodes.get(host)?.metadata.labels ?? {}, [], clusterType);
}

export interface AddressPlace {
  readonly block: Cidr;
  readonly owner: string | undefined;
  /** Where the address is routed to: its holder's host, else the block's owner. */
  readonly host: string | undefined;
  readonly allocated: boolean;
}

/** What the address plan says of an address; undefined: no block holds it. */
export function placeOf(model: ClusterModel, address: IpAddress): AddressPlace | undefined {
  const holding = model.blocks.filter(({ cidr }) => cidrContains(cidr, address));
  const block = holding.toSorted((a, b) => prefixLength(b.cidr) - prefixLength(a.cidr))[0];
  if (block === undefined) return undefined;
  const owner = ownerHost(block);
  const allocation = allocationsOf(block).find((one) => hostCidr(one.address) === hostCidr(address));
  const host = allocation?.attributes.node ?? owner;
  return { block: block.cidr, owner, host, allocated: allocation !== undefined };
}
