/**
 * Judges the addresses this driver has taken on this host: whose handle names something that Docker, the store or the kernel
 * still has is alive, and so is every address Docker says a container has (handles: see endpoint-registry.ts).
 */
import type { Keeper } from "../../../ipam/garbage.ts";
import type { Allocation } from "../../../model/ipam-documents.ts";
import { DOCKER_ORCHESTRATOR } from "./endpoint-names.ts";

export interface LivingEndpoints {
  readonly host: string;
  /** EndpointIDs with a record in the store, attached in Docker, or with a link of this driver. */
  readonly endpointIds: ReadonlySet<string>;
  /** Of containers attached in Docker. */
  readonly addresses: ReadonlySet<string>;
  readonly networkIds: ReadonlySet<string>;
}

export function dockerAddressKeeper({ host, endpointIds, addresses, networkIds }: LivingEndpoints): Keeper {
  const network = `docker-${host}-network-`;
  return {
    isOurs: ({ attributes, handle }: Allocation) =>
      handle !== undefined && attributes.orchestrator === DOCKER_ORCHESTRATOR,
    isAlive: ({ address, handle = "" }: Allocation) => {
      if (addresses.has(address)) return true;
      if (handle.startsWith(network)) return networkIds.has(handle.slice(network.length));
      return endpointIds.has(handle);
    },
  };
}
