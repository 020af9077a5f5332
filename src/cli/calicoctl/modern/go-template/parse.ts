/** A Go template as a tree: what calicoctl's users write, which is all but named templates. */

import { BadInput } from "../../../../base/errors.ts";
import { type Piece, piecesOf, type Token, tokensOf } from "./tokens.ts";

export type Expression =
  | { readonly kind: "literal"; readonly value: unknown }
  | { readonly kind: "dot" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "fields"; readonly of: Expression; readonly names: readonly string[] }
  | Pipeline;

export interface Pipeline {
  readonly kind: "pipeline";
  /** "$x := ...": declares, "$x = ...": sets; of range one or two. */
  readonly variables: readonly string[];
  readonly declares: boolean;
  readonly commands: readonly (readonly Expression[])[];
}

interface Branch {
  readonly line: number;
  readonly pipeline: Pipeline;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
}

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly line: number; readonly pipeline: Pipeline }
  | ({ readonly kind: "if" } & Branch)
  | ({ readonly kind: "range" } & Branch)
  | ({ readonly kind: "with" } & Branch)
  | { readonly kind: "break" | "continue" };

/** @throws BadInput with the line of the template */
export function parseTemplate(template: string): readonly Node[] {
  const reader = new TemplateReader(piecesOf(template));
  const { nodes, end } = reader.block(false);
  if (end !== undefined) throw new BadInput(`template:${end.line}`, `unexpected {{${end.word}}}`, "its beginning");
  return nodes;
}

interface End {
  readonly word: "end" | "else";
  readonly rest: readonly Token[];
  readonly line: number;
}

class TemplateReader {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** Up to {{end}} or {{else}}, or the end of the text. */
  block(inRange: boolean): { readonly nodes: readonly Node[]; readonly end: End | undefined } {
    const nodes: Node[] = [];
    for (let piece = this.#pieces[this.#at++]; piece !== undefined; piece = this.#pieces[this.#at++]) {
      if (piece.kind === "text") {
        nodes.push(piece);
        continue;
      }
      const { line } = piece;
      const [first, ...rest] = tokensOf(piece.source, line);
      if (first === undefined) throw new BadInput(`template:${line}`, "missing value for command", "a pipeline");
      const word = first.kind === "word" ? first.text : "";
      if (word === "end" || word === "else") return { nodes, end: { word, rest, line } };
      if (word === "if" || word === "range" || word === "with") nodes.push(this.#branch(word, rest, line, inRange));
      else if (word === "break" || word === "continue") {
        if (!inRange) throw new BadInput(`template:${line}`, `{{${word}}} outside {{range}}`, "a {{range}} around it");
        nodes.push({ kind: word });
      } else if (word === "define" || word === "template" || word === "block") {
        throw new BadInput(`template:${line}`, `{{${word}}} is not supported`, "a template in one piece");
      } else nodes.push({ kind: "print", line, pipeline: pipelineOf([first, ...rest], line) });
    }
    return { nodes, end: undefined };
  }

  #branch(kind: "if" | "range" | "with", tokens: readonly Token[], line: number, inRange: boolean): Node {
    const pipeline = pipelineOf(tokens, line);
    const inner = inRange || kind === "range";
    const { nodes: body, end } = this.block(inner);
    if (end === undefined) throw new BadInput(`template:${line}`, `{{${kind}}} without {{end}}`, "{{end}}");
    if (end.word === "end") return { kind, line, pipeline, body, otherwise: [] };
    const [next, ...rest] = end.rest;
    if (next !== undefined) {
      if (next.text !== "if" && next.text !== "with") {
        throw new BadInput(`template:${end.line}`, `unexpected "${next.text}" after else`, "{{else if ...}}");
      }
      return { kind, line, pipeline, body, otherwise: [this.#branch(next.text, rest, end.line, inner)] };
    }
    const other = this.block(inner);
    if (other.end?.word !== "end") throw new BadInput(`template:${end.line}`, "{{else}} without {{end}}", "{{end}}");
    return { kind, line, pipeline, body, otherwise: other.nodes };
  }
}

function pipelineOf(tokens: readonly Token[], line: number): Pipeline {
  const queue = [...tokens];
  const pipeline = readPipeline(queue, line);
  if (queue.length > 0)
    throw new BadInput(`template:${line}`, `unexpected "${queue[0]?.text}"`, "the end of the action");
  return pipeline;
}

function readPipeline(queue: Token[], line: number): Pipeline {
  const variables: string[] = [];
  const assigned = queue.findIndex(({ text, kind }) => kind === "symbol" && (text === ":=" || text === "="));
  const names = queue.slice(0, Math.max(0, assigned)).filter(({ text }) => text !== ",");
  const declares = queue[assigned]?.text === ":=";
  if (assigned >= 0 && names.every(({ kind }) => kind === "variable") && names.length <= 2) {
    variables.push(...names.map(({ text }) => text));
    queue.splice(0, assigned + 1);
  }
  const commands: Expression[][] = [[]];
  for (let token = queue[0]; token !== undefined && token.text !== ")"; token = queue[0]) {
    if (token.kind === "symbol" && token.text === "|") {
      queue.shift();
      commands.push([]);
    } else commands.at(-1)?.push(readOperand(queue, line));
  }
  if (commands.some((command) => command.length === 0)) {
    throw new BadInput(`template:${line}`, "missing value for command", "a field, variable or function");
  }
  return { kind: "pipeline", variables, declares, commands };
}

function readOperand(queue: Token[], line: number): Expression {
  const of = readStart(queue, line);
  const names: string[] = [];
  for (let token = queue[0]; token?.kind === "field" && !token.spaced; token = queue[0]) {
    names.push(token.text.slice(1));
    queue.shift();
  }
  if (names.length === 0) return of;
  // `.a.b` starts with `.a`, which is fields of the dot already.
  return of.kind === "fields" ? { ...of, names: [...of.names, ...names] } : { kind: "fields", of, names };
}

function readStart(queue: Token[], line: number): Expression {
  const token = queue.shift();
  const text = token?.text ?? "";
  switch (token?.kind) {
    case "field":
      return { kind: "fields", of: { kind: "dot" }, names: [text.slice(1)] };
    case "variable":
      return { kind: "variable", name: text };
    case "string":
      return { kind: "literal", value: stringOf(text, line) };
    case "number":
      if (!Number.isFinite(Number(text))) throw new BadInput(`template:${line}`, `bad number "${text}"`, "a number");
      return { kind: "literal", value: Number(text) };
    case "word":
      if (text === "true" || text === "false") return { kind: "literal", value: text === "true" };
      return text === "nil" ? { kind: "literal", value: null } : { kind: "function", name: text };
    default:
      if (text === ".") return { kind: "dot" };
      if (text !== "(") throw new BadInput(`template:${line}`, `unexpected "${text}"`, "a field, variable or function");
  }
  const inner = readPipeline(queue, line);
  if (queue.shift()?.text !== ")") throw new BadInput(`template:${line}`, "unclosed left paren", ")");
  return inner;
}

function stringOf(text: string, line: number): string {
  if (text.startsWith("`")) return text.slice(1, -1);
  try {
    return String(JSON.parse(text));
  } catch {
    throw new BadInput(`template:${line}`, `bad string ${text}`, "a string with the escapes of JSON");
  }
}
