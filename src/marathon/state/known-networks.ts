/**
 * Networks that containers can join, as far as the store knows: the replicated Docker networks that Margay's nodes keep. A
 * cluster without such nodes tells nothing, and then every name is taken on trust, as Marathon always did.
 */

import type { Store } from "../../store/store.ts";

const networkPrefix = "/margay/docker/networks/";
const nodePrefix = "/calico/resources/v3/projectcalico.org/nodes/";

export async function knownNetworks(store: Store, signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
  const { kvs } = await store.list(networkPrefix, { signal });
  if (kvs.length > 0) return new Set(kvs.map(({ key }) => decodeURIComponent(key.slice(networkPrefix.length))));
  const nodes = await store.list(nodePrefix, { limit: 1, signal });
  return nodes.kvs.length > 0 ? new Set() : undefined;
}
