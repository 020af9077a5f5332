/**
 * The profile of a Docker network: its name, and how to tell one that a user has changed. A network's name is its profile's
 * name where v3 allows that; otherwise the name is normalised as upstream's converter does and the profile remembers the
 * network's own name (reference/calico-datastore.md 7.2, 7.3).
 */
import { classicNameAnnotation, normalizedName } from "../../../model/normalized-name.ts";
import { networkProfile, type Profile } from "../../../model/profile.ts";
import type { NewObject } from "../../../model/resource.ts";

export function profileNameOf(network: string): string {
  return normalizedName(network);
}

export function newNetworkProfile(network: string, stamp: NewObject): Profile {
  const name = profileNameOf(network);
  const profile = networkProfile(name, stamp);
  if (name === network) return profile;
  return { ...profile, metadata: { ...profile.metadata, annotations: { [classicNameAnnotation]: network } } };
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
