/** Resources of the store: listed, read, and changed by compare-and-swap, as others may write them at the same time. */

import { BadInput } from "../../../base/errors.ts";
import { kindPrefix } from "../../../model/keys.ts";
import type { Kind } from "../../../model/kinds.ts";
import { type AnyResource, encode } from "../../../model/resource.ts";
import type { KeyValue, Store } from "../../../store/store.ts";
import { CommandFailure } from "../command.ts";

const attemptsMax = 5;

export interface StoredAt<Resource> {
  readonly key: string;
  /** @throws what cannot be read */
  readonly decode: (text: string, key: string) => Resource;
}

/** All of the kind, in the order of their keys; what cannot be read counts as absent. */
export async function listResources<Resource>(
  store: Store,
  kind: Kind,
  decode: (text: string, key: string) => Resource,
): Promise<readonly { readonly kv: KeyValue; readonly resource: Resource }[]> {
  const { kvs } = await store.list(kindPrefix(kind));
  return kvs.flatMap((kv) => {
    try {
      return [{ kv, resource: decode(kv.value, kv.key) }];
    } catch (error) {
      if (error instanceof BadInput) return [];
      throw error;
    }
  });
}

export async function readResource<Resource>(
  store: Store,
  { key, decode }: StoredAt<Resource>,
): Promise<Resource | undefined> {
  const kv = await store.get(key);
  return kv === undefined ? undefined : decode(kv.value, key);
}

/**
 * `change` is handed what is stored, undefined for nothing, and answers what is to be: the same object to leave it,
 * undefined to delete it. It is called again when somebody else was faster.
 */
export async function changeResource<Resource extends Pick<AnyResource, "metadata">>(
  store: Store,
  { key, decode }: StoredAt<Resource>,
  change: (stored: Resource | undefined) => Resource | undefined,
): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const kv = await store.get(key);
    const before = kv === undefined ? undefined : decode(kv.value, key);
    const after = change(before);
    if (after === before) return;
    const { succeeded } = await store.transact({
      compare: [{ key, modRevision: kv?.modRevision ?? 0 }],
      success: [after === undefined ? { delete: key } : { put: key, value: encode({ ...after }) }],
    });
    if (succeeded) return;
  }
  const name = key.slice(key.lastIndexOf("/") + 1);
  throw new CommandFailure("stdout", `${name} was changed by others at the same time; please retry.\n`);
}
