/** `calicoctl profile P rule add|remove` */

import type { Profile } from "../../../model/profile.ts";
import { checkRule, type Rule } from "../../../model/rule.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { parseRule, ruleText } from "./classic-rule.ts";
import { changeProfile } from "./profile-access.ts";
import { profileUsage } from "./profile-usage.ts";
import { plainTagNames, readTagNames } from "./tag-names.ts";

type Direction = "ingress" | "egress";

export async function ruleAdd(
  { io, store }: CalicoctlContext,
  name: string,
  direction: Direction,
  at: number | undefined,
  words: readonly string[],
): Promise<number> {
  parseRule(words, profileUsage, plainTagNames); // words that are no rule need no store
  const opened = await store();
  const rule = parseRule(words, profileUsage, await readTagNames(opened));
  checkRule(rule, "rule");
  let present = false;
  await changeProfile(opened, name, (profile) => {
    const rules = profile.spec[direction] ?? [];
    present = rules.some((other) => ruleText(other) === ruleText(rule));
    if (present) return undefined;
    const position = at ?? rules.length + 1;
    if (position < 1 || position > rules.length + 1) {
      throw new CommandFailure("stdout", `Position ${position} is out-of-range.\n`);
    }
    return withRules(profile, direction, rules.toSpliced(position - 1, 0, rule));
  });
  if (present) io.stdout("Rule already present, skipping.\n");
  return 0;
}

export async function ruleRemove(
  { store }: CalicoctlContext,
  name: string,
  direction: Direction,
  at: number | undefined,
  words: readonly string[],
): Promise<number> {
  if ((at === undefined) === (words.length === 0)) throw new UsageError(profileUsage);
  if (at === undefined) parseRule(words, profileUsage, plainTagNames);
  const opened = await store();
  const rule = at === undefined ? parseRule(words, profileUsage, await readTagNames(opened)) : undefined;
  await changeProfile(opened, name, (profile) => {
    const rules = profile.spec[direction] ?? [];
    const index = rule === undefined ? (at ?? 0) - 1 : rules.findIndex((other) => ruleText(other) === ruleText(rule));
    if (rule !== undefined && index < 0) throw new CommandFailure("stdout", "Rule not found.\n");
    if (index < 0 || index >= rules.length) throw new CommandFailure("stdout", "Rule position out-of-range.\n");
    return withRules(profile, direction, rules.toSpliced(index, 1));
  });
  return 0;
}

function withRules(profile: Profile, direction: Direction, rules: Rule[]): Profile {
  return { ...profile, spec: { ...profile.spec, [direction]: rules } };
}
