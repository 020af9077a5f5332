/** Endpoints in the store as the classic commands see them: by host, orchestrator, workload and id. */

import { decodeWorkloadEndpoint, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { listResources } from "./stored-resource.ts";

export interface ClassicEndpoint {
  readonly key: string;
  readonly host: string;
  readonly orchestrator: string;
  readonly workload: string;
  readonly id: string;
  readonly resource: WorkloadEndpoint;
}

export interface EndpointFilter {
  readonly host?: string | undefined;
  readonly orchestrator?: string | undefined;
  readonly workload?: string | undefined;
  readonly id?: string | undefined;
}

/** Sorted by host; those that cannot be read are nobody's. */
export async function listEndpoints(store: Store, filter: EndpointFilter = {}): Promise<readonly ClassicEndpoint[]> {
  const fits = (wanted: string | undefined, is: string) => wanted === undefined || wanted === is;
  return (await listResources(store, "WorkloadEndpoint", decodeWorkloadEndpoint))
    .map(({ kv, resource }) => classicEndpoint(kv.key, resource))
    .filter(
      ({ host, orchestrator, workload, id }) =>
        fits(filter.host, host) &&
        fits(filter.orchestrator, orchestrator) &&
        fits(filter.workload, workload) &&
        fits(filter.id, id),
    )
    .sort((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : 0));
}

/** The endpoints of one container of a host, wherever they come from: `calicoctl container add`, or a Docker network. */
export async function endpointsOfContainer(
  store: Store,
  host: string,
  container: { readonly orchestrator: string; readonly workload: string; readonly networkEndpoints: readonly string[] },
): Promise<readonly ClassicEndpoint[]> {
  const all = await listEndpoints(store, { host });
  const own = all.filter(
    ({ orchestrator, workload }) => orchestrator === container.orchestrator && workload === container.workload,
  );
  return [...own, ...all.filter(({ id }) => container.networkEndpoints.includes(id))];
}

export function classicEndpoint(key: string, resource: WorkloadEndpoint): ClassicEndpoint {
  const { node, orchestrator, containerID, pod, workload, endpoint } = resource.spec;
  return { key, host: node, orchestrator, workload: containerID ?? pod ?? workload ?? "", id: endpoint, resource };
}
