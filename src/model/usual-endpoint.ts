/**
 * A shorter way through the schema of WorkloadEndpoint for documents of the usual form, in whatever order: an agent reads every
 * endpoint of the cluster when it starts, and the schema takes several times as long as JSON.parse. Written out member by
 * member: lists of them, made and walked through, took as long as the rest. What is accepted here is what the schema
 * accepts, and comes out the same (property test); whatever is the least unusual is left to the schema.
 */

import { apiVersion } from "./resource.ts";
import type { WorkloadEndpoint } from "./workload-endpoint.ts";

type Fields = Readonly<Record<string, unknown>>;

/** True: it is valid. False: ask the schema. */
export function isUsualEndpoint(value: unknown): value is WorkloadEndpoint {
  if (!isObject(value) || value.kind !== "WorkloadEndpoint" || value.apiVersion !== apiVersion) return false;
  const { metadata, spec } = value;
  return isObject(metadata) && isObject(spec) && hasUsualMetadata(metadata) && hasUsualSpec(spec);
}

function hasUsualMetadata(metadata: Fields): boolean {
  const { name, namespace, uid, creationTimestamp, labels, annotations } = metadata;
  return (
    isText(name) &&
    isStringIfAny(namespace) &&
    isStringIfAny(uid) &&
    isStringIfAny(creationTimestamp) &&
    (labels === undefined || isStringMap(labels)) &&
    (annotations === undefined || isStringMap(annotations))
  );
}

function hasUsualSpec(spec: Fields): boolean {
  const { interfaceName, ipNetworks, profiles } = spec;
  return (
    isText(spec.orchestrator) &&
    isText(spec.node) &&
    isText(spec.endpoint) &&
    isStringIfAny(spec.workload) &&
    isStringIfAny(spec.containerID) &&
    isStringIfAny(spec.pod) &&
    isStringIfAny(spec.serviceAccountName) &&
    isStringIfAny(spec.ipv4Gateway) &&
    isStringIfAny(spec.ipv6Gateway) &&
    isStringIfAny(spec.mac) &&
    (interfaceName === undefined ||
      (typeof interfaceName === "string" && /^[a-zA-Z0-9_.-]{1,15}$/.test(interfaceName))) &&
    (ipNetworks === undefined || isStringList(ipNetworks)) &&
    (profiles === undefined || isStringList(profiles)) &&
    spec.ipNATs === undefined &&
    spec.ports === undefined &&
    spec.allowSpoofedSourcePrefixes === undefined &&
    spec.qosControls === undefined
  );
}

/** The schema drops a member of this one name, which JSON.parse makes a property like any other. */
function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !Object.hasOwn(value, "__proto__");
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isStringIfAny(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}

function isStringList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isStringMap(value: unknown): boolean {
  if (!isObject(value)) return false;
  for (const name in value) if (typeof value[name] !== "string") return false;
  return true;
}
