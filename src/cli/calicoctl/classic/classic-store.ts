/** The store as the classic and seed commands begin one. */

import { BadInput } from "../../../base/errors.ts";
import { BgpConfiguration } from "../../../model/bgp-resources.ts";
import { clusterInformationKey, resourceKey } from "../../../model/keys.ts";
import { apiVersion, decode, encode, newMetadata } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import type { CalicoctlContext } from "../command.ts";
import { ensureInitialized } from "../ensure-initialized.ts";

/** The AS number of the classic releases; later ones begin with 64512. */
export const classicAsNumber = 64511;
export const modernAsNumber = 64512;

export const bgpDefaults = {
  key: resourceKey({ kind: "BGPConfiguration", name: "default" }),
  decode: (text: string, key: string) => decode(BgpConfiguration, text, key),
};

/** Opens the store for writing: one that nobody has used yet gets what every store has, and the classic AS number. */
export async function storeToWrite({ store, clock }: CalicoctlContext): Promise<Store> {
  const opened = await store();
  if ((await opened.get(clusterInformationKey)) !== undefined) return opened;
  const metadata = newMetadata("default", { uid: clock.uuid(), nowMs: clock.nowMs() });
  const spec = { asNumber: classicAsNumber, nodeToNodeMeshEnabled: true };
  await opened.transact({
    compare: [{ key: bgpDefaults.key, modRevision: 0 }],
    success: [{ put: bgpDefaults.key, value: encode({ kind: "BGPConfiguration", apiVersion, metadata, spec }) }],
  });
  await ensureInitialized(opened, clock);
  return opened;
}

/** The AS number hosts have that are given none of their own. */
export async function defaultAsNumber(store: Store): Promise<string> {
  const kv = await store.get(bgpDefaults.key);
  try {
    const asNumber = kv === undefined ? undefined : bgpDefaults.decode(kv.value, kv.key).spec.asNumber;
    if (asNumber !== undefined) return String(asNumber);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
  }
  const used = (await store.get(clusterInformationKey)) !== undefined;
  return String(used ? modernAsNumber : classicAsNumber);
}
