/** Resources as a store holds them, found under whatever name a release stored them, and in the form users see. */

import { defaultAllowProfile, defaultAllowProfileName } from "../../../model/default-profile.ts";
import { parseResourceKey, resourceKey } from "../../../model/keys.ts";
import { isNamespaced, type Kind } from "../../../model/kinds.ts";
import { metadataAnnotation, policyKeys, shownPolicy } from "../../../model/policy-names.ts";
import type { AnyResource, Metadata } from "../../../model/resource.ts";
import { isTieredPolicy, tierOf, userPolicyName } from "../../../model/tiered-policies.ts";
import type { KeyValue } from "../../../store/store.ts";
import type { ResourceStore } from "../dry-run-store.ts";
import { readable } from "./readable-resource.ts";
import type { ResourceId } from "./resource-error.ts";

export interface Found {
  readonly kv: KeyValue | undefined;
  /** Where it could lie and nothing lies. */
  readonly free: readonly string[];
}

/** Policies lie under one of several names; the first that is this policy's is it. `like`: tells the tier. */
export async function findResource(store: ResourceStore, id: ResourceId, like?: AnyResource): Promise<Found> {
  const { kind, name, namespace } = id;
  const exact = resourceKey(id);
  if (!isTieredPolicy(kind)) {
    const kv = await store.get(exact);
    return { kv, free: kv === undefined ? [exact] : [] };
  }
  const tier = like === undefined ? undefined : tierOf(like.spec as { tier?: string });
  const free: string[] = [];
  for (const key of policyKeys({ kind, name, ...(namespace === undefined ? {} : { namespace }) }, tier)) {
    const kv = await store.get(key);
    if (kv === undefined) free.push(key);
    else if (key === exact || isCalled(name, kv)) return { kv, free };
  }
  return { kv: undefined, free };
}

/** As users see it, with the revision as its version; undefined: not there, or nobody can read it. */
export async function readResource(store: ResourceStore, id: ResourceId): Promise<AnyResource | undefined> {
  if (id.kind === "Profile" && id.name === defaultAllowProfileName) return defaultAllowProfile as AnyResource;
  const { kv } = await findResource(store, id);
  return kv === undefined ? undefined : shownResource(kv, id.kind);
}

/** A value that does not parse is left out, as by every reader of this keyspace. */
export function shownResource(kv: KeyValue, kind: Kind): AnyResource | undefined {
  if (parseResourceKey(kv.key)?.kind !== kind) return undefined;
  const stored = readable(kv.value, kv.key);
  if (stored === undefined) return undefined;
  const shown = isTieredPolicy(kind) ? shownPolicy(stored) : stored;
  return { ...shown, metadata: { ...shown.metadata, resourceVersion: String(kv.modRevision) } };
}

export function idOf({ kind, metadata: { name, namespace } }: AnyResource): ResourceId {
  const scoped = isNamespaced(kind as Kind) && namespace !== undefined;
  return { kind: kind as Kind, name, ...(scoped ? { namespace } : {}) };
}

/** A policy that an older release stored under its tier's prefix, without or with what its user called it. */
function isCalled(name: string, { key, value }: KeyValue): boolean {
  const resource = readable(value, key);
  if (resource === undefined) return true;
  return userPolicyName({ name, annotations: onlyNameOf(resource.metadata) }) === name;
}

function onlyNameOf({ annotations }: Metadata): Record<string, string> | undefined {
  const given = annotations?.[metadataAnnotation];
  return given === undefined ? undefined : { [metadataAnnotation]: given };
}
