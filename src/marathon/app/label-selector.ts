/**
 * `label=` of GET /v2/apps: comma means AND of `key`, `key==v`, `key!=v`, `key in (a,b)`, `key notin (a,b)`
 * (reference: marathon 3.2). `!=` and `notin` need the key to exist. Pure.
 */

import type { StringMap } from "./app.ts";

export type LabelSelector = (labels: StringMap) => boolean;

/** Words of `[A-Za-z0-9._-]`; anything else is written with a backslash before it. */
const word = String.raw`((?:[A-Za-z0-9._\-]|\\.)+)`;
const setTerm = new RegExp(String.raw`^\s*${word}\s+(in|notin)\s*\(([^)]*)\)\s*`);
const equalTerm = new RegExp(String.raw`^\s*${word}\s*(==|!=)\s*${word}\s*`);
const existsTerm = new RegExp(String.raw`^\s*${word}\s*`);
const wholeWord = new RegExp(`^${word}$`);

export function parseLabelSelector(text: string): LabelSelector | undefined {
  const terms: LabelSelector[] = [];
  let rest = text;
  for (;;) {
    const parsed = parseTerm(rest);
    if (parsed === undefined) return undefined;
    terms.push(parsed.term);
    rest = rest.slice(parsed.length);
    if (rest === "") return (labels) => terms.every((term) => term(labels));
    if (!rest.startsWith(",")) return undefined;
    rest = rest.slice(1);
  }
}

function parseTerm(text: string): { readonly term: LabelSelector; readonly length: number } | undefined {
  const set = setTerm.exec(text);
  if (set !== null) {
    const [whole, key = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    if (!values.every((value) => wholeWord.test(value))) return undefined;
    const wanted = new Set(values.map(unquote));
    return { term: test(key, (value) => wanted.has(value) === (operator === "in")), length: whole.length };
  }
  const equal = equalTerm.exec(text);
  if (equal !== null) {
    const [whole, key = "", operator, value = ""] = equal;
    const wanted = unquote(value);
    return { term: test(key, (label) => (label === wanted) === (operator === "==")), length: whole.length };
  }
  const exists = existsTerm.exec(text);
  if (exists === null) return undefined;
  return { term: test(exists[1] ?? "", () => true), length: exists[0].length };
}

function test(key: string, holds: (value: string) => boolean): LabelSelector {
  const name = unquote(key);
  return (labels) => {
    const value = Object.hasOwn(labels, name) ? labels[name] : undefined;
    return value !== undefined && holds(value);
  };
}

function unquote(text: string): string {
  return text.replaceAll(/\\(.)/g, "$1");
}
