/** The rules of one profile or policy, converted when first needed; most of a cluster's are never needed on a host. */

import { BadInput, describeError } from "../base/errors.ts";
import type { ConvertedRules } from "./rule-conversion.ts";

export type RuleResult =
  | { readonly ok: true; readonly rules: ConvertedRules }
  | { readonly ok: false; readonly problem: string };

export class RuleSource {
  readonly #title: string;
  readonly #convert: () => ConvertedRules;
  #result: RuleResult | undefined;

  constructor(title: string, convert: () => ConvertedRules) {
    this.#title = title;
    this.#convert = convert;
  }

  static broken(problem: string): RuleSource {
    const source = new RuleSource("", () => {
      throw new BadInput("", problem, "");
    });
    source.#result = { ok: false, problem };
    return source;
  }

  get result(): RuleResult {
    this.#result ??= this.#read();
    return this.#result;
  }

  #read(): RuleResult {
    try {
      return { ok: true, rules: this.#convert() };
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      return { ok: false, problem: `${this.#title}: ${describeError(error)}` };
    }
  }
}
