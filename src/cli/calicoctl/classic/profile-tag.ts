/** `calicoctl profile P tag show|add|remove`: tags are labels with an empty value that the profile's members get. */

import type { CalicoctlContext } from "../command.ts";
import { CommandFailure } from "../command.ts";
import { checkTag } from "./classic-rule.ts";
import { changeProfile, getProfile } from "./profile-access.ts";
import { readTagNames } from "./tag-names.ts";

export async function tagShow({ io, store }: CalicoctlContext, name: string): Promise<number> {
  const opened = await store();
  const { profile } = await getProfile(opened, name);
  const names = await readTagNames(opened);
  const labels = Object.entries(profile.spec.labelsToApply ?? {});
  const tags = labels.flatMap(([label, value]) => (value === "" ? [names.tag(label)] : []));
  for (const tag of tags.sort()) io.stdout(`${tag}\n`);
  return 0;
}

export async function tagAdd({ io, store }: CalicoctlContext, name: string, tag: string): Promise<number> {
  checkTag(tag);
  const opened = await store();
  const label = (await readTagNames(opened)).label(tag);
  await changeProfile(opened, name, (profile) => {
    const labels = profile.spec.labelsToApply ?? {};
    if (labels[label] === "") return undefined;
    if (labels[label] !== undefined) {
      const problem = `Profile ${name} gives its members the label ${tag}=${labels[label]}, which cannot be a tag too.\n`;
      throw new CommandFailure("stdout", problem);
    }
    return { ...profile, spec: { ...profile.spec, labelsToApply: { ...labels, [label]: "" } } };
  });
  io.stdout(`Tag ${tag} added to profile ${name}\n`);
  return 0;
}

export async function tagRemove({ io, store }: CalicoctlContext, name: string, tag: string): Promise<number> {
  const opened = await store();
  const label = (await readTagNames(opened)).label(tag);
  await changeProfile(opened, name, (profile) => {
    const { [label]: value, ...others } = profile.spec.labelsToApply ?? {};
    if (value !== "") throw new CommandFailure("stdout", `Tag ${tag} is not on profile ${name}\n`);
    return { ...profile, spec: { ...profile.spec, labelsToApply: others } };
  });
  io.stdout(`Tag ${tag} removed from profile ${name}\n`);
  return 0;
}
