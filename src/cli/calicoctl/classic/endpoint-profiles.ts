/** The list of profiles of one endpoint, changed and shown: the same for `endpoint E` and `container C` (calicoctl.md 3.4). */

import { profileKey } from "../../../model/keys.ts";
import { normalizedName } from "../../../model/normalized-name.ts";
import { decodeWorkloadEndpoint, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "../command.ts";
import type { ClassicEndpoint } from "./endpoint-access.ts";
import { prettyTable } from "./pretty-table.ts";
import { checkProfileName, listProfileNames } from "./profile-access.ts";
import { changeResource } from "./stored-resource.ts";

export type ProfilesChange = "append" | "set" | "remove";

/** What is said when there is no endpoint to change. */
export function noEndpoint(change: ProfilesChange | "show", typed: string): CommandFailure {
  const unknown = paragraph(`Endpoint ${typed} is unknown to Calico.`);
  const notFound = paragraph("Endpoint could not be found.");
  const texts = {
    append: `Failed to append profiles to endpoint.\n\n${unknown}`,
    set: `Failed to set profiles for endpoint.\n\n${notFound}`,
    remove: `Failed to remove profiles from endpoint.\n\n${notFound}`,
    show: `Failed to list profiles in endpoint.\n\n${unknown}`,
  };
  return new CommandFailure("stdout", texts[change]);
}

export function ambiguousEndpoint(): CommandFailure {
  const problem =
    "More than 1 endpoint matches the provided criteria.  Please provide additional parameters to refine the search.";
  return new CommandFailure("stdout", paragraph(problem));
}

/** Before an endpoint is looked for. @throws CommandFailure */
export async function checkProfiles(store: Store, names: readonly string[]): Promise<void> {
  for (const name of names) checkProfileName(name);
  const doubled = names.find((name, at) => names.indexOf(name) !== at);
  if (doubled !== undefined) {
    throw new CommandFailure("stdout", `Profile with name ${doubled} was specified more than once.\n`);
  }
  for (const name of names) {
    if ((await store.get(profileKey(normalizedName(name)))) !== undefined) continue;
    throw new CommandFailure("stdout", `Profile with name ${name} was not found.\n`);
  }
}

/** The profiles are checked. Nothing changes when one of them is there already, or is not there to be removed. */
export async function changeProfiles(
  { io }: CalicoctlContext,
  store: Store,
  { key }: ClassicEndpoint,
  change: ProfilesChange,
  names: readonly string[],
): Promise<number> {
  if (change !== "set" && names.length === 0) {
    io.stdout(paragraph("No profile specified."));
    return 0;
  }
  const wanted = names.map(normalizedName);
  let obstacle: string | undefined;
  await changeResource<WorkloadEndpoint>(store, { key, decode: decodeWorkloadEndpoint }, (stored) => {
    if (stored === undefined) throw noEndpoint(change, "");
    const before = stored.spec.profiles ?? [];
    obstacle = names.find((_, at) => before.includes(wanted[at] ?? "") === (change === "append"));
    if (change !== "set" && obstacle !== undefined) return stored;
    const profiles =
      change === "set"
        ? wanted
        : change === "append"
          ? [...before, ...wanted]
          : before.filter((profile) => !wanted.includes(profile));
    return { ...stored, spec: { ...stored.spec, profiles } };
  });
  io.stdout(paragraph(outcome(change, names, obstacle)));
  return 0;
}

function outcome(change: ProfilesChange, names: readonly string[], obstacle: string | undefined): string {
  switch (change) {
    case "append":
      return obstacle === undefined
        ? `Profile(s) ${names.join(", ")} appended.`
        : `Profile ${obstacle} is already in endpoint profile list`;
    case "remove":
      return obstacle === undefined
        ? `Profile(s) ${names.join(",")} removed.`
        : `Profile ${obstacle} is not in endpoint profile list`;
    case "set":
      return names.length === 0 ? "Removed all profiles from endpoint." : `Profile(s) set to ${names.join(", ")}.`;
  }
}

export async function showProfiles(
  { io }: CalicoctlContext,
  store: Store,
  { resource }: ClassicEndpoint,
): Promise<number> {
  const nameOf = await profileNames(store);
  const rows = (resource.spec.profiles ?? []).map((profile) => [nameOf(profile)]).sort();
  io.stdout(rows.length === 0 ? "Endpoint has no profiles associated with it.\n" : `${prettyTable(["Name"], rows)}\n`);
  return 0;
}

/** From the name a profile is stored under to the one users gave it. */
export async function profileNames(store: Store): Promise<(stored: string) => string> {
  const names = new Map((await listProfileNames(store)).map(({ name, stored }) => [stored, name]));
  return (stored) => names.get(stored) ?? stored;
}
