/**
 * Parses the selector language (grammar: calico-datastore.md 4.1). No escapes in strings; only spaces and tabs are
 * blanks; words such as `in` are operators only right after a label, so that they can be labels themselves.
 */

import { BadInput } from "../../base/errors.ts";
import { compareByBytes, type LabelComparison, type Selector, usesGlobal } from "./selector.ts";

const labelLengthMax = 512;
const selectorLengthMax = 64 * 1024;
/** Parsing is recursive: nobody nests this deep by hand, and the stack must not decide. */
const depthMax = 200;

const idCharacter = "[a-zA-Z0-9_./-]";
const label = new RegExp(`${idCharacter}+`, "y");
const wordOperator = new RegExp(`(contains|starts[ \\t]*with|ends[ \\t]*with|not[ \\t]*in|in)(?!${idCharacter})`, "y");

export interface SelectorUse {
  /** global() is for namespace selectors of rules only, and there it stands alone. */
  readonly global?: "allow" | "refuse" | "only-alone";
}

/** Blank text selects everything. @throws BadInput */
export function parseSelector(text: string, path = "", { global = "allow" }: SelectorUse = {}): Selector {
  const selector = new Parser(text, path).parse();
  if (global === "refuse" && usesGlobal(selector)) {
    const problem = "global() can only be used in an EntityRule namespaceSelector";
    throw new BadInput(path, problem, "a selector without global()");
  }
  if (global === "only-alone" && selector.kind !== "global" && usesGlobal(selector)) {
    throw new BadInput(path, "global() cannot be combined with other selectors", "global() alone");
  }
  return selector;
}

class Parser {
  readonly #text: string;
  readonly #path: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, path: string) {
    this.#text = text;
    this.#path = path;
  }

  parse(): Selector {
    if (this.#text.length > selectorLengthMax) throw this.#problem("selector too long");
    this.#blanks();
    if (this.#at === this.#text.length) return { kind: "all" };
    const selector = this.#or();
    this.#blanks();
    if (this.#at < this.#text.length) {
      if (this.#text[this.#at] === "&") throw this.#problem("expected &&");
      if (this.#text[this.#at] === "|") throw this.#problem("expected ||");
      throw this.#problem(`unexpected content at end of selector: ${this.#rest()}`);
    }
    return selector;
  }

  #or(): Selector {
    if (++this.#depth > depthMax) throw this.#problem("selector nested too deep");
    const operands = [this.#and()];
    while (this.#take("||")) operands.push(this.#and());
    this.#depth--;
    const [first] = operands;
    return operands.length === 1 && first !== undefined ? first : { kind: "or", operands };
  }

  #and(): Selector {
    const operands = [this.#unary()];
    while (this.#take("&&")) operands.push(this.#unary());
    const [first] = operands;
    return operands.length === 1 && first !== undefined ? first : { kind: "and", operands };
  }

  #unary(): Selector {
    let negated = false;
    while (this.#take("!")) negated = !negated;
    const operand = this.#primary();
    return negated ? { kind: "not", operand } : operand;
  }

  #primary(): Selector {
    if (this.#take("(")) {
      const inner = this.#or();
      if (!this.#take(")")) throw this.#problem("expected )");
      return inner;
    }
    if (this.#take("has(")) {
      this.#blanks();
      const name = this.#label();
      if (!this.#take(")")) throw this.#problem("no closing ')' after has(");
      return { kind: "has", label: name };
    }
    for (const kind of ["all", "global"] as const) {
      if (!this.#take(`${kind}(`)) continue;
      if (!this.#take(")")) throw this.#problem(`no closing ')' after ${kind}(`);
      return { kind };
    }
    this.#blanks();
    if (this.#at >= this.#text.length) throw this.#problem("unexpected end of selector");
    return this.#comparison(this.#label());
  }

  #comparison(name: string): Selector {
    this.#blanks();
    for (const operator of ["==", "!="] as const) {
      if (this.#take(operator)) return { kind: "compare", label: name, operator, value: this.#string() };
    }
    if (this.#text[this.#at] === "=") throw this.#problem("expected ==");
    wordOperator.lastIndex = this.#at;
    const word = wordOperator.exec(this.#text)?.[1];
    if (word === undefined) throw this.#problem(`expected operator after label "${name}"`);
    this.#at += word.length;
    const spelled = word.replaceAll(/[ \t]/g, "");
    if (spelled === "in" || spelled === "notin") {
      return { kind: "in", label: name, values: this.#set(), negated: spelled === "notin" };
    }
    const operators: Readonly<Record<string, LabelComparison>> = {
      contains: "contains",
      startswith: "starts with",
      endswith: "ends with",
    };
    return { kind: "compare", label: name, operator: operators[spelled] ?? "contains", value: this.#string() };
  }

  #set(): readonly string[] {
    if (!this.#take("{")) throw this.#problem("expected set literal");
    const values = new Set<string>();
    while (!this.#take("}")) {
      values.add(this.#string());
      if (this.#take(",")) continue;
      if (this.#take("}")) break;
      throw this.#problem("expected }");
    }
    return [...values].sort(compareByBytes);
  }

  #string(): string {
    this.#blanks();
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") throw this.#problem("expected string");
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) throw this.#problem("unterminated string");
    const value = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return value;
  }

  #label(): string {
    label.lastIndex = this.#at;
    const name = label.exec(this.#text)?.[0];
    if (name === undefined) {
      const next = this.#rest();
      throw this.#problem(next === "" ? "expected identifier" : `unexpected token: ${next}`);
    }
    if (name.length > labelLengthMax) throw this.#problem(`label too long: ${name.slice(0, 20)}...`);
    this.#at += name.length;
    return name;
  }

  /** Skips blanks and the given text, if it comes next. */
  #take(text: string): boolean {
    this.#blanks();
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #blanks(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  #rest(): string {
    const rest = this.#text.slice(this.#at);
    return rest.length > 20 ? `${rest.slice(0, 20)}...` : rest;
  }

  #problem(problem: string): BadInput {
    const shown = this.#text.length > 200 ? `${this.#text.slice(0, 200)}...` : this.#text;
    return new BadInput(this.#path, `${problem} at position ${this.#at + 1} of selector "${shown}"`, "a selector");
  }
}

export function isSelector(text: string): boolean {
  try {
    parseSelector(text);
    return true;
  } catch (error) {
    if (error instanceof BadInput) return false;
    throw error;
  }
}
