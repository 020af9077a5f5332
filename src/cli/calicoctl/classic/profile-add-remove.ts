/** `calicoctl profile add P`, `calicoctl profile remove P [--no-check]` */

import { profileKey } from "../../../model/keys.ts";
import { classicNameAnnotation, normalizedName } from "../../../model/normalized-name.ts";
import { networkProfile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import type { CalicoctlContext } from "../command.ts";
import { findProfile, membersOf } from "./profile-access.ts";

/** A new profile carries its own tag, lets in who has it, and lets everything out. */
export async function profileAdd({ io, store, clock }: CalicoctlContext, name: string): Promise<number> {
  const stored = normalizedName(name);
  const key = profileKey(stored);
  const plain = networkProfile(stored, { uid: clock.uuid(), nowMs: clock.nowMs() });
  const annotations = { [classicNameAnnotation]: name };
  const profile = stored === name ? plain : { ...plain, metadata: { ...plain.metadata, annotations } };
  const { succeeded } = await (await store()).transact({
    compare: [{ key, modRevision: 0 }],
    success: [{ put: key, value: encode(profile) }],
  });
  io.stdout(succeeded ? `Created profile ${name}\n` : `Profile ${name} already exists.\n`);
  return 0;
}

export async function profileRemove({ io, store }: CalicoctlContext, name: string, check: boolean): Promise<number> {
  const opened = await store();
  const found = await findProfile(opened, name);
  if (found === undefined) {
    io.stdout(`Profile ${name} not found.\n`);
    return 0;
  }
  if (check && (await membersOf(opened, normalizedName(name))).length > 0) {
    io.stdout("Cannot remove profile - profile in use by endpoint(s).\n");
    io.stdout("Use the '--no-check' flag to remove the profile anyway.\n");
    return 0;
  }
  await opened.delete(found.key);
  io.stdout(`Deleted profile ${name}\n`);
  return 0;
}
