/** `calicoctl profile ...`: which of its commands the words mean. */

import { type Command, UsageError } from "../command.ts";
import { checkProfileName } from "./profile-access.ts";
import { profileAdd, profileRemove } from "./profile-add-remove.ts";
import { ruleAdd, ruleRemove } from "./profile-rule-change.ts";
import { ruleShow } from "./profile-rule-show.ts";
import { profileShow } from "./profile-show.ts";
import { tagAdd, tagRemove, tagShow } from "./profile-tag.ts";
import { profileHelp, profileUsage } from "./profile-usage.ts";

export const profile: Command = async (context, args) => {
  const { words, options } = readOptions(args);
  if (options.has("--help")) {
    context.io.stdout(profileHelp);
    return 0;
  }
  const [first, second, third, ...rest] = words;
  const no = (...names: readonly string[]) => {
    for (const name of options.keys()) if (!names.includes(name)) throw new UsageError(profileUsage);
  };
  // "profile show tag show" is about a profile called show: three words after it tell.
  if (second !== "tag" && second !== "rule") {
    if (first === "show" && second === undefined) {
      no("--detailed");
      return profileShow(context, options.has("--detailed"));
    }
    if ((first === "add" || first === "remove") && second !== undefined && third === undefined) {
      const name = checkProfileName(second);
      no(...(first === "remove" ? ["--no-check"] : []));
      return first === "add" ? profileAdd(context, name) : profileRemove(context, name, !options.has("--no-check"));
    }
    throw new UsageError(profileUsage);
  }
  if (first === undefined) throw new UsageError(profileUsage);
  const name = checkProfileName(first);
  if (second === "tag") {
    no();
    if (third === "show" && rest.length === 0) return tagShow(context, name);
    if ((third !== "add" && third !== "remove") || rest.length !== 1) throw new UsageError(profileUsage);
    return third === "add" ? tagAdd(context, name, rest[0] ?? "") : tagRemove(context, name, rest[0] ?? "");
  }
  if (third === "show" && rest.length === 0) {
    no();
    return ruleShow(context, name);
  }
  no("--at");
  const [direction, ...rule] = rest;
  const field = direction === "inbound" ? "ingress" : direction === "outbound" ? "egress" : undefined;
  if (field === undefined || (third !== "add" && third !== "remove")) throw new UsageError(profileUsage);
  const at = options.get("--at");
  // Not an integer: nothing is said, as ever.
  if (at !== undefined && !/^-?\d{1,9}$/.test(at)) return 1;
  const position = at === undefined ? undefined : Number(at);
  if (third === "add") return ruleAdd(context, name, field, position, rule);
  return ruleRemove(context, name, field, position, rule);
};

const withValue: ReadonlySet<string> = new Set(["--at"]);
const known: readonly string[] = ["--detailed", "--no-check", "--at", "--help"];

/** Options may stand anywhere, be shortened while unambiguous, and end at "--"; docopt's rules. */
function readOptions(args: readonly string[]): { words: readonly string[]; options: ReadonlyMap<string, string> } {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--") {
      words.push(...args.slice(at + 1));
      break;
    }
    if (!arg.startsWith("--")) {
      if (arg === "-h") options.set("--help", "");
      else words.push(arg);
      continue;
    }
    const [given = "", ...value] = arg.split("=");
    const matching = known.filter((name) => name.startsWith(given));
    const [name] = matching;
    if (name === undefined || (matching.length > 1 && !known.includes(given))) throw new UsageError(profileUsage);
    if (withValue.has(name)) {
      const text = value.length > 0 ? value.join("=") : args[++at];
      if (text === undefined) throw new UsageError(profileUsage);
      options.set(name, text);
    } else {
      if (value.length > 0) throw new UsageError(profileUsage);
      options.set(name, "");
    }
  }
  return { words, options };
}
