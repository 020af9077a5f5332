/** `calicoctl profile P rule show` */

import type { Rule } from "../../../model/rule.ts";
import type { CalicoctlContext } from "../command.ts";
import { ruleText } from "./classic-rule.ts";
import { getProfile } from "./profile-access.ts";
import { readTagNames, type TagNames } from "./tag-names.ts";

export async function ruleShow({ io, store }: CalicoctlContext, name: string): Promise<number> {
  const opened = await store();
  const { profile } = await getProfile(opened, name);
  const names = await readTagNames(opened);
  io.stdout(
    `Inbound rules:\n${numbered(profile.spec.ingress, names)}Outbound rules:\n${numbered(profile.spec.egress, names)}`,
  );
  return 0;
}

function numbered(rules: readonly Rule[] = [], names: TagNames): string {
  return rules.map((rule, at) => ` ${String(at + 1).padStart(3)} ${ruleText(rule, names)}\n`).join("");
}
