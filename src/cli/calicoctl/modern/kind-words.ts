/** The word a user has for a kind: any of its names, in any case; a slip of the finger gets the nearest as an answer. */

import type { Kind } from "../../../model/kinds.ts";
import type { CommandFailure } from "../command.ts";
import { nearestWord } from "../nearest-word.ts";
import { kindViews, viewOf } from "./get-kinds.ts";

/** @throws what `refusal` makes of the problem */
export function kindOfWord(word: string, refusal: (problem: string) => CommandFailure): Kind {
  const view = viewOf(word);
  if (view !== undefined) return view.kind;
  throw refusal(`resource type '${word}' is not supported${meant(word)}`);
}

function meant(word: string): string {
  const nearest = nearestWord(
    word,
    kindViews.flatMap(({ aliases }) => aliases),
  );
  return nearest === undefined ? "" : `\n  did you mean ${nearest}?`;
}
