/** ClusterInformation: which cluster this is, and whether its datastore is locked, which hosts and plug-ins heed. */

import { OperationError } from "../../../base/errors.ts";
import { type ClusterInformation, decodeClusterInformation } from "../../../model/cluster-information.ts";
import { clusterInformationKey } from "../../../model/keys.ts";
import { encode } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";

export interface ClusterState {
  readonly information: ClusterInformation;
  readonly revision: number;
  readonly locked: boolean;
}

const attemptsMax = 5;

/** Undefined: nobody has used the store yet. @throws BadInput when it cannot be read */
export async function readCluster(store: Pick<Store, "get">): Promise<ClusterState | undefined> {
  const kv = await store.get(clusterInformationKey);
  if (kv === undefined) return undefined;
  const information = decodeClusterInformation(kv.value, clusterInformationKey);
  return { information, revision: kv.modRevision, locked: information.spec.datastoreReady === false };
}

/** @throws OperationError when the store is nobody's yet, or others write without end */
export async function setLocked(store: Pick<Store, "get" | "transact">, locked: boolean): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const cluster = await readCluster(store);
    if (cluster === undefined) {
      throw new OperationError("CLUSTER_UNKNOWN", "the datastore is empty: there is nothing to lock", {
        retry: "never",
      });
    }
    const { information, revision } = cluster;
    const value = encode({ ...information, spec: { ...information.spec, datastoreReady: !locked } });
    const { succeeded } = await store.transact({
      compare: [{ key: clusterInformationKey, modRevision: revision }],
      success: [{ put: clusterInformationKey, value }],
    });
    if (succeeded) return;
  }
  throw new OperationError("CLUSTER_CONTENTION", "ClusterInformation changes all the time", { retry: "backoff" });
}

/** "a lock is needed, and there is none" in the words of the command that needs it. */
export async function isLocked(store: Pick<Store, "get">): Promise<boolean> {
  return (await readCluster(store))?.locked === true;
}
