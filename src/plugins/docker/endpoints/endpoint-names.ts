/** Names that follow from a Docker EndpointID; the same ones the original plug-in used (reference/docker.md 4.2). */
import { type InterfaceName, parseInterfaceName } from "../../../base/names.ts";
import { workloadEndpointKey } from "../../../model/keys.ts";
import { workloadEndpointName } from "../../../model/workload-endpoint-name.ts";

/** Characters of the EndpointID in interface names: 15 that Linux allows less the 4 of the prefix. */
const ID_CHARACTERS = 11;

export const DOCKER_ORCHESTRATOR = "libnetwork";
export const DOCKER_NAMESPACE = "libnetwork";
/** Every container has its own point-to-point link, so equal MACs do no harm; the host end keeps its random one. */
export const CONTAINER_MAC = "EE:EE:EE:EE:EE:EE";
/** Key prefix of container labels and driver options that become labels of the endpoint. */
export const LABEL_PREFIX = "org.projectcalico.label.";

export function hostInterfaceName(endpointId: string): InterfaceName {
  return parseInterfaceName(`cali${endpointId.slice(0, ID_CHARACTERS)}`, "EndpointID");
}

/** Name of the container's end until Docker moves and renames it. */
export function temporaryInterfaceName(endpointId: string): InterfaceName {
  return parseInterfaceName(`temp${endpointId.slice(0, ID_CHARACTERS)}`, "EndpointID");
}

/** Where the endpoint's record is in the store. */
export function endpointKey(host: string, endpointId: string): string {
  const identity = { node: host, orchestrator: DOCKER_ORCHESTRATOR, endpoint: endpointId };
  return workloadEndpointKey(DOCKER_NAMESPACE, workloadEndpointName(identity));
}

/** The endpoint labels among container labels or driver options, prefix stripped. */
export function endpointLabels(options: Readonly<Record<string, unknown>>): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(options)) {
    if (key.startsWith(LABEL_PREFIX) && typeof value === "string") labels[key.slice(LABEL_PREFIX.length)] = value;
  }
  return labels;
}
/** On a WorkloadEndpoint: the name of its Docker network. */
export const NETWORK_ANNOTATION = "margay.io/docker-network";
/** On a WorkloadEndpoint made before its network's name was known: the network's id on this host. */
export const NETWORK_ID_ANNOTATION = "margay.io/docker-network-id";
