/**
 * JSON that keeps integers beyond 2^53 exact: Calico counts a block's writes from the creation time in nanoseconds
 * (about 1.8e18), and a plain number would corrupt the last digits on a read and write.
 * Integers that a number cannot hold exactly come out as bigint; everything else is as in JSON.parse.
 * Absent on purpose: exact decimals; no field of the keyspace needs them.
 */

import { BadInput } from "../base/errors.ts";

interface ReviverContext {
  readonly source?: string;
}
type Reviver = (key: string, value: unknown, context: ReviverContext) => unknown;

/** The two functions of the JSON source text proposal (Stage 4), which TypeScript's library does not describe yet. */
const exactJson = JSON as unknown as {
  parse(text: string, reviver?: Reviver): unknown;
  rawJSON(text: string): unknown;
};

/** Below this length no integer can leave the exact range of a number. */
const exactDigits = 15;

/** @throws BadInput when the text is not JSON. */
export function parseJson(text: string, path = ""): unknown {
  try {
    // The reviver costs a call per member: most documents hold no long digit string at all.
    return /\d{16}/.test(text) ? exactJson.parse(text, reviveExact) : JSON.parse(text);
  } catch (error) {
    throw new BadInput(path, `not JSON: ${error instanceof Error ? error.message : String(error)}`, "a JSON document");
  }
}

export function stringifyJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, replaceExact, indent);
}

function reviveExact(_key: string, value: unknown, { source }: ReviverContext): unknown {
  if (typeof value !== "number" || source === undefined || source.length <= exactDigits) return value;
  if (Number.isSafeInteger(value) || !/^-?\d+$/.test(source)) return value;
  return BigInt(source);
}

function replaceExact(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? exactJson.rawJSON(value.toString()) : value;
}
