/** Profiles in the store by their classic name, changed by compare-and-swap. */

import { BadInput, describeError } from "../../../base/errors.ts";
import { kindPrefix, profileKey } from "../../../model/keys.ts";
import { classicNameAnnotation, normalizedName } from "../../../model/normalized-name.ts";
import { decodeProfile, type Profile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import { decodeWorkloadEndpoint, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { CommandFailure, paragraph } from "../command.ts";

export interface StoredProfile {
  readonly key: string;
  readonly modRevision: number;
  readonly profile: Profile;
}

const attemptsMax = 5;

/** @throws CommandFailure */
export function checkProfileName(name: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(name)) return name;
  const problem =
    "Profile names must be < 40 character long and can only contain numbers, letters, dots, dashes and underscores.";
  throw new CommandFailure("stdout", paragraph(problem));
}

export async function findProfile(store: Store, name: string): Promise<StoredProfile | undefined> {
  const key = profileKey(normalizedName(name));
  const kv = await store.get(key);
  return kv === undefined ? undefined : { key, modRevision: kv.modRevision, profile: readProfile(kv.value, name) };
}

/** @throws CommandFailure `Profile X not found.` */
export async function getProfile(store: Store, name: string): Promise<StoredProfile> {
  const found = await findProfile(store, name);
  if (found === undefined) throw new CommandFailure("stdout", `Profile ${name} not found.\n`);
  return found;
}

/** `change` answers the new profile, or undefined to leave it as it is. */
export async function changeProfile(
  store: Store,
  name: string,
  change: (profile: Profile) => Profile | undefined,
): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { key, modRevision, profile } = await getProfile(store, name);
    const changed = change(profile);
    if (changed === undefined) return;
    const { succeeded } = await store.transact({
      compare: [{ key, modRevision }],
      success: [{ put: key, value: encode(changed) }],
    });
    if (succeeded) return;
  }
  throw new CommandFailure("stdout", `Profile ${name} was changed by others at the same time; please retry.\n`);
}

/** Under the names users gave them, sorted. */
export async function listProfileNames(store: Store): Promise<readonly { name: string; stored: string }[]> {
  const prefix = kindPrefix("Profile");
  const { kvs } = await store.list(prefix);
  const named = kvs.map(({ key, value }) => {
    const stored = key.slice(prefix.length);
    return { name: classicName(value) ?? stored, stored };
  });
  return named.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The endpoints that name the profile; those that cannot be read are nobody's members. */
export async function membersOf(store: Store, stored: string): Promise<readonly WorkloadEndpoint[]> {
  const { kvs } = await store.list(kindPrefix("WorkloadEndpoint"));
  return kvs.flatMap(({ value }) => {
    try {
      const endpoint = decodeWorkloadEndpoint(value);
      return (endpoint.spec.profiles ?? []).includes(stored) ? [endpoint] : [];
    } catch (error) {
      if (error instanceof BadInput) return [];
      throw error;
    }
  });
}

function readProfile(text: string, name: string): Profile {
  try {
    return decodeProfile(text);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    throw new CommandFailure("stdout", `Profile ${name} cannot be read: ${describeError(error)}\n`);
  }
}

function classicName(text: string): string | undefined {
  try {
    return decodeProfile(text).metadata.annotations?.[classicNameAnnotation];
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
