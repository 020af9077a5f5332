/** Carries a parsed template out on a value. */

import { BadInput, unreachable } from "../../../../base/errors.ts";
import { type TemplateFunction, templateFunctions } from "./functions.ts";
import { type Expression, type Node, type Pipeline, parseTemplate } from "./parse.ts";
import { fieldOf, goText, isTrue } from "./values.ts";

/** A loop over this many values of nested lists is a mistake in the template. */
const stepsMax = 10_000_000;

/** @throws BadInput for a template that cannot be read or does not fit the value */
export function renderTemplate(
  template: string,
  value: unknown,
  more: Readonly<Record<string, TemplateFunction>> = {},
): string {
  const execution = new Execution({ ...templateFunctions, ...more });
  execution.run(parseTemplate(template), value, new Scope(undefined, [["$", value]]));
  return execution.output.join("");
}

/** Variables of a block and of those around it. */
class Scope {
  readonly #outer: Scope | undefined;
  readonly #values: Map<string, unknown>;

  constructor(outer: Scope | undefined, values: Iterable<readonly [string, unknown]> = []) {
    this.#outer = outer;
    this.#values = new Map(values);
  }

  holder(name: string): Scope | undefined {
    return this.#values.has(name) ? this : this.#outer?.holder(name);
  }

  get(name: string): unknown {
    return this.#values.get(name);
  }

  set(name: string, value: unknown): void {
    this.#values.set(name, value);
  }
}

type Flow = "on" | "break" | "continue";

class Execution {
  readonly output: string[] = [];
  readonly #functions: Readonly<Record<string, TemplateFunction>>;
  #steps = 0;

  constructor(functions: Readonly<Record<string, TemplateFunction>>) {
    this.#functions = functions;
  }

  run(nodes: readonly Node[], dot: unknown, scope: Scope): Flow {
    for (const node of nodes) {
      const flow = this.#node(node, dot, scope);
      if (flow !== "on") return flow;
    }
    return "on";
  }

  #node(node: Node, dot: unknown, scope: Scope): Flow {
    if (++this.#steps > stepsMax) throw new BadInput("template", "does not come to an end", "shorter loops");
    switch (node.kind) {
      case "text":
        this.output.push(node.text);
        return "on";
      case "break":
      case "continue":
        return node.kind;
      case "print": {
        const value = this.#pipeline(node.pipeline, dot, scope);
        if (node.pipeline.variables.length === 0) this.output.push(goText(value));
        else this.#assign(node.pipeline, scope, [value]);
        return "on";
      }
      case "range":
        return this.#range(node, dot, scope);
      case "if":
      case "with": {
        const inner = new Scope(scope);
        const value = this.#pipeline(node.pipeline, dot, scope);
        this.#assign(node.pipeline, inner, [value]);
        if (!isTrue(value)) return this.run(node.otherwise, dot, new Scope(scope));
        return this.run(node.body, node.kind === "with" ? value : dot, inner);
      }
      default:
        return unreachable(node);
    }
  }

  #range({ pipeline, body, otherwise }: Extract<Node, { kind: "range" }>, dot: unknown, scope: Scope): Flow {
    const entries = entriesOf(this.#pipeline(pipeline, dot, scope));
    if (entries.length === 0) return this.run(otherwise, dot, new Scope(scope));
    for (const [key, value] of entries) {
      const inner = new Scope(scope);
      this.#assign(pipeline, inner, pipeline.variables.length === 2 ? [key, value] : [value]);
      if (this.run(body, value, inner) === "break") break;
    }
    return "on";
  }

  #assign({ variables, declares }: Pipeline, scope: Scope, values: readonly unknown[]): void {
    for (const [at, name] of variables.entries()) {
      const holder = declares ? scope : scope.holder(name);
      if (holder === undefined) throw new BadInput(name, "undefined variable", `${name} := ... before`);
      holder.set(name, values[at]);
    }
  }

  #pipeline({ commands }: Pipeline, dot: unknown, scope: Scope): unknown {
    let value: unknown;
    for (const [at, command] of commands.entries()) value = this.#command(command, at === 0 ? [] : [value], dot, scope);
    return value;
  }

  #command(command: readonly Expression[], piped: readonly unknown[], dot: unknown, scope: Scope): unknown {
    const [first, ...rest] = command;
    if (first === undefined) return undefined;
    if (first.kind !== "function") {
      if (rest.length === 0 && piped.length === 0) return this.#value(first, dot, scope);
      throw new BadInput("template", "can't give argument to non-function", "a function first");
    }
    return this.#call(first.name, [...rest.map((one) => this.#value(one, dot, scope)), ...piped]);
  }

  #call(name: string, given: readonly unknown[]): unknown {
    const call = Object.hasOwn(this.#functions, name) ? this.#functions[name] : undefined;
    if (call !== undefined) return call(...given);
    throw new BadInput("template", `function "${name}" not defined`, Object.keys(this.#functions).join(", "));
  }

  #value(expression: Expression, dot: unknown, scope: Scope): unknown {
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "dot":
        return dot;
      case "variable": {
        const holder = scope.holder(expression.name);
        if (holder === undefined) throw new BadInput(expression.name, "undefined variable", "one declared before");
        return holder.get(expression.name);
      }
      case "function":
        return this.#call(expression.name, []);
      case "fields":
        return expression.names.reduce(fieldOf, this.#value(expression.of, dot, scope));
      case "pipeline":
        return this.#pipeline(expression, dot, scope);
      default:
        return unreachable(expression);
    }
  }
}

function entriesOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return value.map((one, at) => [at, one]);
  if (typeof value === "object" && value !== null) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  if (value === undefined || value === null) return [];
  throw new BadInput("range", `can't iterate over ${goText(value)}`, "a list or map");
}
