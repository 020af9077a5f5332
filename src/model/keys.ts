/**
 * The keyspace of Calico v3 on etcd: where each kind of thing lies, written and read back (calico-datastore.md 1.2, 1.3).
 * - Keys begin with a slash; names, namespaces and host names stand in them verbatim.
 * - A CIDR in a key has its slash replaced by a dash.
 * - Nothing that is not a valid name gets into a key: the functions here refuse a slash, and decode refuses the rest.
 */

import { type Cidr, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { isNamespaced, type Kind, kindOfPlural, pluralOf } from "./kinds.ts";

export const resourcesPrefix = "/calico/resources/v3/projectcalico.org/";
export const ipamPrefix = "/calico/ipam/v2/";
export const blocksPrefix = "/calico/ipam/v2/assignment/";
export const handlesPrefix = "/calico/ipam/v2/handle/";
export const ipamConfigKey = "/calico/ipam/v2/config";

export interface ResourceKey {
  readonly kind: Kind;
  readonly name: string;
  /** Only of namespaced kinds. */
  readonly namespace?: string;
}

/** All resources of a kind, or of a kind in one namespace. */
export function kindPrefix(kind: Kind, namespace?: string): string {
  const base = `${resourcesPrefix}${pluralOf(kind)}/`;
  return namespace === undefined ? base : `${base}${component(namespace, "metadata.namespace")}/`;
}

export function resourceKey({ kind, name, namespace }: ResourceKey): string {
  if (!isNamespaced(kind)) return `${kindPrefix(kind)}${component(name, "metadata.name")}`;
  if (namespace === undefined || namespace === "") {
    throw new BadInput("Metadata.Namespace", "namespace is not specified on namespaced resource", "a namespace");
  }
  return `${kindPrefix(kind, namespace)}${component(name, "metadata.name")}`;
}

export function parseResourceKey(key: string): ResourceKey | undefined {
  if (!key.startsWith(resourcesPrefix)) return undefined;
  const kindEnd = key.indexOf("/", resourcesPrefix.length);
  const kind = kindOfPlural(key.slice(resourcesPrefix.length, kindEnd < 0 ? key.length : kindEnd));
  if (kind === undefined || kindEnd < 0) return undefined;
  const slash = key.indexOf("/", kindEnd + 1);
  const last = key.slice(Math.max(slash, kindEnd) + 1);
  if (last === "" || last.includes("/")) return undefined;
  if (!isNamespaced(kind)) return slash < 0 ? { kind, name: unescapeComponent(last) } : undefined;
  if (slash < 0 || slash === kindEnd + 1) return undefined;
  return { kind, namespace: unescapeComponent(key.slice(kindEnd + 1, slash)), name: unescapeComponent(last) };
}

export function workloadEndpointKey(namespace: string, name: string): string {
  return resourceKey({ kind: "WorkloadEndpoint", namespace, name });
}

export function profileKey(name: string): string {
  return resourceKey({ kind: "Profile", name });
}

export function ipPoolKey(name: string): string {
  return resourceKey({ kind: "IPPool", name });
}

export function nodeKey(name: string): string {
  return resourceKey({ kind: "Node", name });
}

export function tierKey(name: string): string {
  return resourceKey({ kind: "Tier", name });
}

export const clusterInformationKey = resourceKey({ kind: "ClusterInformation", name: "default" });

export function blockKey(cidr: Cidr): string {
  return `${blocksPrefix}${familyPart(cidr)}/block/${cidrComponent(cidr)}`;
}

export function blocksOfFamilyPrefix(family: 4 | 6): string {
  return `${blocksPrefix}ipv${family}/block/`;
}

export function parseBlockKey(key: string): Cidr | undefined {
  if (!key.startsWith(blocksPrefix)) return undefined; // nearly all keys of a cluster
  const match = /^\/calico\/ipam\/v2\/assignment\/ipv[46]\/block\/([^/]+)$/.exec(key);
  return cidrOfComponent(match?.[1]);
}

export function affinityKey(host: string, cidr: Cidr): string {
  return `${affinitiesPrefix(host)}${familyPart(cidr)}/block/${cidrComponent(cidr)}`;
}

export function affinitiesPrefix(host: string): string {
  return `${ipamPrefix}host/${component(host, "host")}/`;
}

export interface AffinityKey {
  readonly host: string;
  readonly cidr: Cidr;
}

export function parseAffinityKey(key: string): AffinityKey | undefined {
  const match = /^\/calico\/ipam\/v2\/[^/]+\/([^/]+)\/ipv[46]\/block\/([^/]+)$/.exec(key);
  const cidr = cidrOfComponent(match?.[2]);
  return match?.[1] === undefined || cidr === undefined ? undefined : { host: match[1], cidr };
}

export function handleKey(handle: string): string {
  return `${handlesPrefix}${component(handle, "handle")}`;
}

export function parseHandleKey(key: string): string | undefined {
  const handle = key.startsWith(handlesPrefix) ? key.slice(handlesPrefix.length) : "";
  return handle === "" || handle.includes("/") ? undefined : handle;
}

/** Status keys escape what a name may hold there: % first, then the slash (1.3). */
export function escapeComponent(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("/", "%2f");
}

export function unescapeComponent(text: string): string {
  return text.includes("%") ? text.replaceAll("%2f", "/").replaceAll("%25", "%") : text;
}

function component(text: string, path: string): string {
  if (text === "" || text.includes("/") || text.includes("\0")) {
    throw new BadInput(path, `"${text}" cannot stand in a key`, "a name without slash");
  }
  return text;
}

function familyPart(cidr: Cidr): "ipv4" | "ipv6" {
  return cidr.includes(":") ? "ipv6" : "ipv4";
}

function cidrComponent(cidr: Cidr): string {
  return cidr.replace("/", "-");
}

function cidrOfComponent(text: string | undefined): Cidr | undefined {
  const at = text?.lastIndexOf("-") ?? -1;
  return text === undefined || at < 0 ? undefined : tryParseCidr(`${text.slice(0, at)}/${text.slice(at + 1)}`);
}
