/**
 * A shorter way through the schema of WorkloadEndpoint for documents of the usual form: an agent reads every endpoint of the
 * cluster when it starts, and the schema takes several times as long as JSON.parse. What is accepted here is what the
 * schema accepts, and comes out the same (property test); whatever is the least unusual is left to the schema.
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
    [namespace, uid, creationTimestamp].every(isStringIfAny) &&
    [labels, annotations].every((map) => map === undefined || isStringMap(map))
  );
}

function hasUsualSpec(spec: Fields): boolean {
  const { orchestrator, node, endpoint, interfaceName, ipNetworks, profiles } = spec;
  return (
    [orchestrator, node, endpoint].every(isText) &&
    [spec.workload, spec.containerID, spec.pod, spec.serviceAccountName].every(isStringIfAny) &&
    [spec.ipv4Gateway, spec.ipv6Gateway, spec.mac].every(isStringIfAny) &&
    (interfaceName === undefined ||
      (typeof interfaceName === "string" && /^[a-zA-Z0-9_.-]{1,15}$/.test(interfaceName))) &&
    [ipNetworks, profiles].every((list) => list === undefined || isStringList(list)) &&
    [spec.ipNATs, spec.ports, spec.allowSpoofedSourcePrefixes, spec.qosControls].every((field) => field === undefined)
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
  return isObject(value) && Object.values(value).every((item) => typeof item === "string");
}
