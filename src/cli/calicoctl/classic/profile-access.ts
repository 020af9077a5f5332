/** Profiles in the store by their classic name, changed by compare-and-swap. */

import { BadInput, describeError } from "../../../base/errors.ts";
import { kindPrefix, profileKey } from "../../../model/keys.ts";
import { classicNameAnnotation, normalizedName } from "../../../model/normalized-name.ts";
import { decodeProfile, type Profile } from "../../../model/profile.ts";
import { decodeWorkloadEndpoint, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { CommandFailure, paragraph } from "../command.ts";
import { changeResource, listResources } from "./stored-resource.ts";

export interface StoredProfile {
  readonly key: string;
  readonly modRevision: number;
  readonly profile: Profile;
}

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
  if (found === undefined) throw noSuchProfile(name);
  return found;
}

function noSuchProfile(name: string): CommandFailure {
  return new CommandFailure("stdout", `Profile ${name} not found.\n`);
}

/** `change` answers the new profile, or undefined to leave it as it is. */
export async function changeProfile(
  store: Store,
  name: string,
  change: (profile: Profile) => Profile | undefined,
): Promise<void> {
  await changeResource<Profile>(
    store,
    { key: profileKey(normalizedName(name)), decode: (text) => readProfile(text, name) },
    (stored) => {
      if (stored === undefined) throw noSuchProfile(name);
      return change(stored) ?? stored;
    },
  );
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
  const endpoints = await listResources(store, "WorkloadEndpoint", decodeWorkloadEndpoint);
  return endpoints.flatMap(({ resource }) => ((resource.spec.profiles ?? []).includes(stored) ? [resource] : []));
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
