/**
 * One table as libnftables lists it, in its own words (libnftables-json(5)): for somebody who wants to know what the
 * kernel does, not what was written. Reads everything there is in the table; tables.ts is for what is needed often.
 */
import { OperationError } from "../../base/errors.ts";
import { Libnftables } from "./libnftables.ts";

export interface ListedTable {
  readonly chains: ReadonlyMap<string, ListedChain>;
  /** Sets and maps: elements as listed, of a map pairs of key and value. */
  readonly sets: ReadonlyMap<string, readonly unknown[]>;
}

export interface ListedChain {
  readonly name: string;
  /** Of base chains. */
  readonly hook?: { readonly type: string; readonly hook: string; readonly priority: number; readonly policy: string };
  readonly rules: readonly ListedRule[];
}

export interface ListedRule {
  readonly handle: number;
  readonly comment: string;
  readonly expressions: readonly unknown[];
}

/** Of the namespace the calling thread is in; undefined when there is no such table. */
export function listTable(table: string): ListedTable | undefined {
  using library = new Libnftables();
  const tables = objectsOf(library.list("list tables inet"));
  if (!tables.some((object) => member(object, "table")?.name === table)) return undefined;
  return tableOf(library.list(`list table inet ${table}`));
}

/** @throws OperationError when it is not what libnftables writes. */
export function tableOf(listing: unknown): ListedTable {
  const chains = new Map<
    string,
    { -readonly [Key in keyof ListedChain]: ListedChain[Key] } & { rules: ListedRule[] }
  >();
  const sets = new Map<string, readonly unknown[]>();
  for (const object of objectsOf(listing)) {
    const chain = member(object, "chain");
    const set = member(object, "set") ?? member(object, "map");
    const rule = member(object, "rule");
    if (chain !== undefined) {
      const name = text(chain.name);
      const hook =
        chain.hook === undefined
          ? {}
          : {
              hook: {
                type: text(chain.type),
                hook: text(chain.hook),
                priority: Number(chain.prio),
                policy: text(chain.policy),
              },
            };
      chains.set(name, { name, ...hook, rules: [] });
    } else if (set !== undefined) {
      sets.set(text(set.name), Array.isArray(set.elem) ? set.elem : []);
    } else if (rule !== undefined) {
      const { handle, comment, expr } = rule;
      if (!Array.isArray(expr)) throw notUnderstood("a rule without expressions");
      const entry = { handle: Number(handle), comment: typeof comment === "string" ? comment : "", expressions: expr };
      chains.get(text(rule.chain))?.rules.push(entry);
    }
  }
  return { chains, sets };
}

type Json = Readonly<Record<string, unknown>>;

function objectsOf(listing: unknown): readonly Json[] {
  const objects = isObject(listing) ? listing.nftables : undefined;
  if (!Array.isArray(objects) || !objects.every(isObject)) throw notUnderstood("no list of objects");
  return objects;
}

function member(object: Json, name: string): Json | undefined {
  const value = object[name];
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  if (typeof value !== "string") throw notUnderstood("a name that is no text");
  return value;
}

function notUnderstood(what: string): OperationError {
  return new OperationError("NFT_LISTING", `libnftables' listing is not understood: ${what}`);
}
