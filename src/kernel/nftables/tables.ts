/**
 * One table of the inet family: atomic transactions in, a read-back out. Who writes what is decided per transaction:
 * what direct-transaction.ts knows goes straight to the kernel, any other is rendered and run by libnftables.
 * Each rule carries "<chain hash> <position>/<count>" at the head of its comment, so a read-back can tell whether a chain
 * is what was written, without understanding expressions and without memory of the program that wrote it.
 */
import { describeError, OperationError } from "../../base/errors.ts";
import { isKernelError } from "../libc.ts";
import { attributesIn, type Message, type MessageWriter, textOf, u32NetworkOf } from "../netlink/message.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { directTransaction } from "./direct-transaction.ts";
import { readElements } from "./elements.ts";
import type { Libnftables } from "./libnftables.ts";
import { renderRule, renderTransaction } from "./render.ts";
import type { ChainSpec, ElementOperation, Operation, RuleSpec, SetElement, SetKind, SetSpec } from "./ruleset.ts";
import { attribute, familyInet, keyType, nfgenmsg, nfgenmsgBytes, nft, setFlag } from "./wire.ts";

/** What is in the kernel. */
export interface TableReadBack {
  /** Hash of each chain as written, or "" when its rules are not what one writer wrote. */
  readonly chains: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<
    string,
    { readonly kind: SetKind | undefined; readonly elements: ReadonlyMap<string, SetElement> }
  >;
}

export class NftTable {
  readonly name: string;
  readonly #socket: NetlinkSocket;
  readonly #library: Libnftables;
  /** Of all rules of the namespace, if nobody else has changed any since the last read-back; undefined: somebody has. */
  #generation: number | undefined;

  constructor(name: string, socket: NetlinkSocket, library: Libnftables) {
    this.name = name;
    this.#socket = socket;
    this.#library = library;
  }

  /** All or nothing. @returns who wrote it. @throws OperationError with NFT_REFUSED or an errno's name as code. */
  commit(operations: readonly Operation[]): "socket" | "libnftables" {
    const writer = this.#commit(operations);
    // A transaction counts the generation up by one, or not at all when it changed nothing.
    const known = this.#generation;
    if (known !== undefined) {
      const now = this.#readGeneration();
      this.#generation = now === known || now === following(known) ? now : undefined;
    }
    return writer;
  }

  /** False: this table is what the last read-back and the commits since have left. */
  mayHaveChanged(): boolean {
    return this.#generation === undefined || this.#generation !== this.#readGeneration();
  }

  #commit(operations: readonly Operation[]): "socket" | "libnftables" {
    const send = directTransaction(this.name, operations);
    if (send === undefined) {
      this.#library.run(renderTransaction(this.name, operations));
      return "libnftables";
    }
    if (operations.every(isElementOperation)) send(this.#socket);
    else refusing(() => send(this.#socket));
    return "socket";
  }

  /** Whether the kernel can do what such a chain says; its own table, other chains and sets play no part. */
  acceptsChain(chain: ChainSpec, rules: readonly RuleSpec[]): boolean {
    return this.#library.accepts(renderTransaction(`${this.name}-trial`, trialOperations(chain, rules)));
  }

  /** Undefined when there is no such table. */
  readBack(): TableReadBack | undefined {
    this.#generation = undefined;
    const generation = this.#readGeneration();
    const sets = this.#readSets();
    const chains = sets === undefined ? undefined : this.#readChains();
    if (this.#readGeneration() === generation) this.#generation = generation;
    return sets === undefined || chains === undefined ? undefined : { chains, sets };
  }

  #readGeneration(): number {
    const { body } = this.#socket.query("ask for the generation of the rules", nft.getGeneration, (writer) =>
      nfgenmsg(writer, 0),
    );
    return u32NetworkOf(attributesIn(body, nfgenmsgBytes).get(attribute.generation));
  }

  #readSets(): TableReadBack["sets"] | undefined {
    const tables = this.#dump("list tables", nft.getTable);
    if (!tables.some((message) => textOf(attributesIn(message.body, nfgenmsgBytes).get(attribute.table)) === this.name))
      return undefined;
    const found = new Map<string, { kind: SetKind | undefined; elements: Map<string, SetElement> }>();
    for (const attributes of this.#ours(nft.getSet, "list sets")) {
      const name = textOf(attributes.get(attribute.setName));
      if (name.startsWith("__")) continue; // anonymous, part of a rule
      const kind = kindOf(
        u32NetworkOf(attributes.get(attribute.setFlags)),
        u32NetworkOf(attributes.get(attribute.setKeyType)),
      );
      const elements =
        kind === undefined ? new Map<string, SetElement>() : readElements(kind, this.#readElements(name));
      found.set(name, { kind, elements });
    }
    return found;
  }

  #readElements(set: string): Message[] {
    return this.#dump(`list elements of ${set}`, nft.getElements, (writer) =>
      writer.attributeText(attribute.table, this.name).attributeText(attribute.elementsSet, set),
    );
  }

  #readChains(): Map<string, string> {
    const comments = new Map<string, string[]>();
    for (const attributes of this.#ours(nft.getChain, "list chains"))
      comments.set(textOf(attributes.get(attribute.chainName)), []);
    for (const attributes of this.#ours(nft.getRule, "list rules"))
      comments
        .get(textOf(attributes.get(attribute.ruleChain)))
        ?.push(commentOf(attributes.get(attribute.ruleUserdata)));
    return new Map([...comments].map(([chain, rules]) => [chain, hashFromComments(rules)]));
  }

  #ours(type: number, doing: string): Map<number, Uint8Array>[] {
    const messages = this.#dump(doing, type, (writer) => writer.attributeText(attribute.table, this.name));
    return messages
      .map((message) => attributesIn(message.body, nfgenmsgBytes))
      .filter((attributes) => textOf(attributes.get(attribute.table)) === this.name);
  }

  #dump(doing: string, type: number, content: (writer: MessageWriter) => void = () => {}): Message[] {
    try {
      return this.#socket.dump(`${doing} of table ${this.name}`, type, (writer) => {
        nfgenmsg(writer, familyInet);
        content(writer);
      });
    } catch (error) {
      if (isKernelError(error, "ENOENT")) return []; // gone meanwhile
      throw error;
    }
  }
}

/** 32 bits, and never 0 (nf_tables_commit). */
function following(generation: number): number {
  return (generation + 1) >>> 0 || 1;
}

/** With the code that libnftables has for all refusals, whoever wrote the rules. */
function refusing(work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw new OperationError("NFT_REFUSED", `nftables refuses the transaction: ${describeError(cause)}`, {
      retry: "backoff",
      cause,
    });
  }
}

/** The chain alone in a table, with all it refers to there and empty. */
function trialOperations(chain: ChainSpec, rules: readonly RuleSpec[]): Operation[] {
  const sets = rules.flatMap(({ matches }) =>
    matches.flatMap((match): SetSpec[] => {
      if (match.match === "port-in-set") return [{ name: match.set, kind: `address-ports${match.family}` }];
      if (match.match === "address-in-set") return [{ name: match.set, kind: `addresses${match.family}` }];
      if (match.match === "interface-source-in-set")
        return [{ name: match.set, kind: `interface-addresses${match.family}` }];
      return match.match === "interface-in-set" ? [{ name: match.set, kind: "interfaces" }] : [];
    }),
  );
  const targets = rules.flatMap(({ actions }) =>
    actions.flatMap((action) => (action.do === "jump" || action.do === "goto" ? [action.chain] : [])),
  );
  return [
    { op: "add-table" },
    ...sets.map((set): Operation => ({ op: "add-set", set })),
    ...targets.map((name): Operation => ({ op: "add-chain", chain: { name } })),
    { op: "add-chain", chain },
    ...ruleOperations(chain, rules),
  ];
}

function isElementOperation(operation: Operation): operation is ElementOperation {
  return operation.op === "add-elements" || operation.op === "delete-elements";
}

const concatenated = (...parts: number[]) => parts.reduce((type, part) => (type << 6) | part, 0);

function kindOf(flags: number, type: number): SetKind | undefined {
  const isMap = (flags & setFlag.map) !== 0;
  const isInterval = (flags & setFlag.interval) !== 0;
  if (isMap && isInterval) return undefined;
  if (isMap && type === keyType.interfaceName) return "interface-verdicts";
  if (isMap && type === keyType.ipv4) return "address-map4";
  if (isMap) return type === keyType.ipv6 ? "address-map6" : undefined;
  if (type === keyType.ipv4) return isInterval ? "networks4" : "addresses4";
  if (type === keyType.ipv6) return isInterval ? "networks6" : "addresses6";
  if (isInterval) return undefined;
  if (type === keyType.interfaceName) return "interfaces";
  if (type === concatenated(keyType.interfaceName, keyType.ipv4)) return "interface-addresses4";
  if (type === concatenated(keyType.ipv4, keyType.protocol, keyType.service)) return "address-ports4";
  if (type === concatenated(keyType.ipv6, keyType.protocol, keyType.service)) return "address-ports6";
  return type === concatenated(keyType.interfaceName, keyType.ipv6) ? "interface-addresses6" : undefined;
}

/** struct nftnl_udata: type, length, value; type 0 is the comment. */
function commentOf(userdata: Uint8Array | undefined): string {
  if (userdata === undefined) return "";
  for (let at = 0; at + 2 <= userdata.length; at += 2 + (userdata[at + 1] ?? 0))
    if (userdata[at] === 0) return textOf(userdata.subarray(at + 2, at + 2 + (userdata[at + 1] ?? 0)));
  return "";
}

const emptyChain = "empty";

/** The hash all comments of a chain agree on, or "". */
export function hashFromComments(comments: readonly string[]): string {
  if (comments.length === 0) return emptyChain;
  const hash = (comments[0] ?? "").split(" ")[0] ?? "";
  const intact = comments.every((comment, at) => `${comment} `.startsWith(`${hash} ${at + 1}/${comments.length} `));
  return intact ? hash : "";
}

/** The content of a chain as one short text: equal for equal chains, in this process and in the next. */
export function chainHash(chain: ChainSpec, rules: readonly RuleSpec[]): string {
  if (rules.length === 0) return emptyChain;
  const text = JSON.stringify([chain.hook ?? null, rules.map(renderRule)]);
  return `m${Bun.hash.xxHash64(text).toString(36)}`;
}

/** The operations that put the rules into an existing, empty chain. */
export function ruleOperations(chain: ChainSpec, rules: readonly RuleSpec[]): Operation[] {
  const hash = chainHash(chain, rules);
  return rules.map((rule, at) => {
    const tag = `${hash} ${at + 1}/${rules.length}`;
    const comment = rule.comment === undefined ? tag : `${tag} ${rule.comment}`.slice(0, 110);
    return { op: "add-rule", chain: chain.name, rule: { ...rule, comment } };
  });
}
