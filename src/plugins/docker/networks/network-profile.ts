/**
 * The profile of a Docker network: its name, and how to tell one that a user has changed. A network's name is its profile's
 * name where v3 allows that; otherwise the name is normalised as upstream's converter does and the profile remembers the
 * network's own name (reference/calico-datastore.md 7.2, 7.3).
 */
import { createHash } from "node:crypto";
import { isLabelKey, isResourceName } from "../../../model/names.ts";
import { networkProfile, type Profile } from "../../../model/profile.ts";
import type { NewObject } from "../../../model/resource.ts";

export const CLASSIC_NAME_ANNOTATION = "margay.io/classic-name";
/** A tag is a label key: at most 63 characters after the optional prefix. */
const NAME_LENGTH_MAX = 63;
const HASH_LENGTH = 8;

export function profileNameOf(network: string): string {
  const normal = network
    .toLowerCase()
    .replaceAll("/", ".")
    .replaceAll(/[^a-z0-9.-]/g, "-")
    .replaceAll(/[-.]*\.[-.]*/g, ".")
    .replaceAll(/-+/g, "-")
    .replaceAll(/^[-.]+|[-.]+$/g, "");
  if (normal === network && isResourceName(network) && isLabelKey(network)) return network;
  const hash = createHash("sha1").update(network).digest("hex").slice(0, HASH_LENGTH);
  const start = normal.slice(0, NAME_LENGTH_MAX - HASH_LENGTH - 1).replaceAll(/[-.]+$/g, "");
  return start === "" ? `network-${hash}` : `${start}-${hash}`;
}

export function newNetworkProfile(network: string, stamp: NewObject): Profile {
  const name = profileNameOf(network);
  const profile = networkProfile(name, stamp);
  if (name === network) return profile;
  return { ...profile, metadata: { ...profile.metadata, annotations: { [CLASSIC_NAME_ANNOTATION]: network } } };
}

/** True while nobody has changed its rules or labels: only then may it go with its network. */
export function isUntouched(profile: Profile, network: string): boolean {
  const fresh = newNetworkProfile(network, { uid: "", nowMs: 0 });
  return JSON.stringify(sortedKeys(profile.spec)) === JSON.stringify(sortedKeys(fresh.spec));
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== undefined && member !== null);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => [key, sortedKeys(member)]),
  );
}
