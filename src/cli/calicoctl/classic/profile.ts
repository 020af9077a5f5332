/** `calicoctl profile ...`: which of its commands the words mean. */

import type { CalicoctlContext, Command } from "../command.ts";
import { checkProfileName } from "./profile-access.ts";
import { profileAdd, profileRemove } from "./profile-add-remove.ts";
import { ruleAdd, ruleRemove } from "./profile-rule-change.ts";
import { ruleJson, ruleUpdate } from "./profile-rule-json.ts";
import { ruleShow } from "./profile-rule-show.ts";
import { profileShow } from "./profile-show.ts";
import { tagAdd, tagRemove, tagShow } from "./profile-tag.ts";
import { profileUsage } from "./profile-usage.ts";
import { commandOfForms, type Form, type Typed } from "./usage-forms.ts";

const direction = "inbound|outbound";

export const profile: Command = commandOfForms(profileUsage, [
  { words: "PROFILE tag show", run: named((context, name) => tagShow(context, name)) },
  { words: "PROFILE tag add TAG", run: named((context, name, typed) => tagAdd(context, name, typed.word("TAG"))) },
  {
    words: "PROFILE tag remove TAG",
    run: named((context, name, typed) => tagRemove(context, name, typed.word("TAG"))),
  },
  { words: "PROFILE rule show", run: named((context, name) => ruleShow(context, name)) },
  { words: "PROFILE rule json", run: named((context, name) => ruleJson(context, name)) },
  { words: "PROFILE rule update", run: named((context, name) => ruleUpdate(context, name)) },
  { words: `PROFILE rule add ${direction} RULE*`, options: ["--at="], run: named(changeRule(ruleAdd)) },
  { words: `PROFILE rule remove ${direction} RULE*`, options: ["--at="], run: named(changeRule(ruleRemove)) },
  // After the others: "profile show tag show" is about a profile called show.
  { words: "show", options: ["--detailed"], run: (context, typed) => profileShow(context, typed.has("--detailed")) },
  { words: "add PROFILE", run: named((context, name) => profileAdd(context, name)) },
  {
    words: "remove PROFILE",
    options: ["--no-check"],
    run: named((context, name, typed) => profileRemove(context, name, !typed.has("--no-check"))),
  },
]);

type NamedRun = (context: CalicoctlContext, name: string, typed: Typed) => number | Promise<number>;

function named(run: NamedRun): Form["run"] {
  return (context, typed) => run(context, checkProfileName(typed.word("PROFILE")), typed);
}

function changeRule(change: typeof ruleAdd): NamedRun {
  return (context, name, typed) => {
    const at = typed.option("--at");
    // Not an integer: nothing is said, as ever.
    if (at !== undefined && !/^-?\d{1,9}$/.test(at)) return 1;
    const field = typed.word(direction) === "inbound" ? "ingress" : "egress";
    return change(context, name, field, at === undefined ? undefined : Number(at), typed.all("RULE"));
  };
}
