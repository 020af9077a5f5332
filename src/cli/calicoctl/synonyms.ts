/**
 * Words of the releases between the seed and 0.6, as the words that took their place (calicoctl.md 1.6). Pure.
 */

import { matchWords } from "./classic/usage-forms.ts";

/** What was typed, and what it is called now; upper case is carried over, "*" is the rest. */
const renamed: readonly (readonly [before: string, now: string])[] = [
  ["group show", "showgroups"],
  ["group add GROUP", "addgroup GROUP"],
  ["group remove GROUP", "removegroup GROUP"],
  ["group addmember GROUP CONTAINER", "addtogroup CONTAINER GROUP"],
  ["group removemember GROUP CONTAINER", "container CONTAINER profile remove GROUP"],
  ["shownodes", "node show"],
  ["ipv4 pool show", "pool show --ipv4"],
  ["ipv6 pool show", "pool show --ipv6"],
  ["ipv4|ipv6 pool add REST...", "pool add REST"],
  ["ipv4|ipv6 pool del|remove REST...", "pool remove REST"],
  ["ipv4|ipv6 container remove CONTAINER", "container remove CONTAINER"],
  ["ipv4|ipv6 container CONTAINER add REST...", "container CONTAINER ip add REST"],
  ["ipv4|ipv6 container CONTAINER remove REST...", "container CONTAINER ip remove REST"],
  ["ipv4|ipv6 bgppeer rr show", "bgp peer show"],
  ["bgppeer REST...", "bgp peer REST"],
  ["node bgppeer REST...", "node bgp peer REST"],
  ["default-node-as REST*", "bgp default-node-as REST"],
  ["bgp-node-mesh REST*", "bgp node-mesh REST"],
  ["profile PROFILE member add CONTAINER", "container CONTAINER profile append PROFILE"],
];

/** First words that only the renamed commands have. */
export const formerWords: readonly string[] = ["group", "shownodes", "bgppeer", "default-node-as", "bgp-node-mesh"];

/** The words as they are, unless they are of a command that has another name now; options stay where they are. */
export function presentWords(words: readonly string[]): readonly string[] {
  const plain = words.filter((word) => !word.startsWith("-"));
  const options = words.filter((word) => word.startsWith("-"));
  for (const [before, now] of renamed) {
    const typed = matchWords(before, plain);
    if (typed === undefined) continue;
    return [
      ...now.split(" ").flatMap((word) => typed.get(word) ?? [word]),
      ...options.filter((word) => word !== "--detailed"),
    ];
  }
  return words;
}
