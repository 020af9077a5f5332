/**
 * A warning where the cluster is of another release than this client (calicoctl.md 4.2). The original refuses to work; too
 * many upgrades and scripts died of that.
 */

import { BadInput, describeError } from "../../base/errors.ts";
import { decodeClusterInformation } from "../../model/cluster-information.ts";
import { clusterInformationKey } from "../../model/keys.ts";
import type { Store } from "../../store/store.ts";
import { clientVersion } from "./modern/client-version.ts";

export async function warnOfVersionMismatch(store: Store, say: (text: string) => void): Promise<void> {
  // A store that does not answer is the command's to tell.
  const kv = await store.get(clusterInformationKey).catch(() => undefined);
  if (kv === undefined) return;
  try {
    const { calicoVersion = "" } = decodeClusterInformation(kv.value, clusterInformationKey).spec;
    if (calicoVersion === "" || plain(calicoVersion) === plain(clientVersion)) return;
    say(
      `version mismatch.\nClient Version:   ${clientVersion}\nCluster Version:  ${calicoVersion}\nUse --allow-version-mismatch to override\n`,
    );
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    say(
      `unable to get Cluster Information to verify version mismatch: ${describeError(error)}\nUse --allow-version-mismatch to override\n`,
    );
  }
}

function plain(version: string): string {
  return version.replace(/^v/, "").replace(/-.*$/, "");
}
