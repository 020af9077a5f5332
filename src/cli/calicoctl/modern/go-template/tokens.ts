/** Text and actions of a Go template, and the tokens of an action (text/template of Go's library). */

import { BadInput } from "../../../../base/errors.ts";

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly source: string; readonly line: number };

export interface Token {
  readonly kind: "field" | "variable" | "word" | "string" | "number" | "symbol";
  readonly text: string;
  /** A blank stands before it: `.a .b` is two operands, `.a.b` is one. */
  readonly spaced: boolean;
}

/** Comments are gone; `{{-` and `-}}` have eaten the white space. @throws BadInput */
export function piecesOf(template: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  while (at < template.length) {
    const open = template.indexOf("{{", at);
    const trimBefore = open >= 0 && /^\{\{-\s/.test(template.slice(open, open + 4));
    let text = template.slice(at, open < 0 ? undefined : open);
    if (trimNext) text = text.trimStart();
    if (trimBefore) text = text.trimEnd();
    if (text !== "") pieces.push({ kind: "text", text });
    if (open < 0) break;
    const line = template.slice(0, open).split("\n").length;
    const close = closeOf(template, open + 2);
    if (close < 0) throw new BadInput(`template:${line}`, "unclosed action", "}}");
    const inside = template.slice(open + 2, close);
    trimNext = /\s-$/.test(inside);
    const source = inside.replace(/^-\s/, " ").replace(/\s-$/, " ").trim();
    if (!/^\/\*[\s\S]*\*\/$/.test(source)) pieces.push({ kind: "action", source, line });
    at = close + 2;
  }
  return pieces;
}

/** Of the `}}` that is not in a string or comment. */
function closeOf(template: string, from: number): number {
  const inside = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|\/\*[\s\S]*?\*\/|(\}\})|[\s\S]/g;
  inside.lastIndex = from;
  for (let match = inside.exec(template); match !== null; match = inside.exec(template)) {
    if (match[1] !== undefined) return match.index;
  }
  return -1;
}

const tokenForms =
  /\s*(?:(\.[A-Za-z_]\w*)|(\$\w*)|([A-Za-z_]\w*)|("(?:[^"\\\n]|\\.)*"|`[^`]*`)|([-+]?(?:\d[\w.]*))|(:=|=|\||\(|\)|,|\.))/y;
const kinds = ["field", "variable", "word", "string", "number", "symbol"] as const;

/** @throws BadInput */
export function tokensOf(source: string, line: number): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (source.slice(at).trim() !== "") {
    tokenForms.lastIndex = at;
    const match = tokenForms.exec(source);
    if (match === null) throw new BadInput(`template:${line}`, `unexpected "${source.slice(at).trim()}"`, "a pipeline");
    const found = match.slice(1).findIndex((part) => part !== undefined);
    const text = match[found + 1] ?? "";
    tokens.push({ kind: kinds[found] ?? "symbol", text, spaced: /^\s/.test(match[0]) || at === 0 });
    at = tokenForms.lastIndex;
  }
  return tokens;
}
