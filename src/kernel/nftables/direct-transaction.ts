/**
 * Transactions straight over nfnetlink, in one batch (all or nothing): a rule of a policy in 0.2 ms, where libnftables
 * first reads all chains and sets of the namespace, and their elements too when elements are among what is written. For
 * what changes while a host is in use: elements, sets of addresses, chains without a hook, and their rules.
 */
import { unreachable } from "../../base/errors.ts";
import { flag, type MessageWriter } from "../netlink/message.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { canSendElements, elementsPerMessage, writeElements } from "./elements.ts";
import { ruleExpressions, writeExpressions } from "./expressions.ts";
import { commentText, objectName } from "./render.ts";
import type { Operation, RuleSpec, SetKind } from "./ruleset.ts";
import {
  attribute,
  batchBegin,
  batchEnd,
  batchMarker,
  familyInet,
  keyType,
  nfgenmsg,
  nft,
  setFlag,
  setUserdata,
} from "./wire.ts";

interface Step {
  readonly type: number;
  readonly flags: number;
  /** What comes after the table's name; the place in the batch is a number of its own. */
  readonly content: (writer: MessageWriter, place: number) => void;
}

/** Sets that come and go with policies. */
const sendableSets: Partial<
  Record<SetKind, { readonly type: number; readonly bytes: number; readonly flags: number }>
> = {
  addresses4: { type: keyType.ipv4, bytes: 4, flags: 0 },
  addresses6: { type: keyType.ipv6, bytes: 16, flags: 0 },
  networks4: { type: keyType.ipv4, bytes: 4, flags: setFlag.interval },
  networks6: { type: keyType.ipv6, bytes: 16, flags: setFlag.interval },
};

/** A batch is one datagram, and has to fit the socket's buffer of 8 MiB; libnftables makes its own as large as needed. */
const batchBytesMax = 7_000_000;
const bytesOf = (operation: Operation) => ("elements" in operation ? 1_500 + operation.elements.length * 128 : 1_500);

/** Nothing is sent yet. @returns undefined when it is libnftables' business, all of it or something in it. */
export function directTransaction(
  table: string,
  operations: readonly Operation[],
): ((socket: NetlinkSocket) => void) | undefined {
  if (operations.reduce((sum, operation) => sum + bytesOf(operation), 0) > batchBytesMax) return undefined;
  const steps: Step[] = [];
  for (const operation of operations) {
    const own = stepsOf(operation);
    if (own === undefined) return undefined;
    steps.push(...own);
  }
  return (socket) => send(socket, objectName(table), steps);
}

function send(socket: NetlinkSocket, table: string, steps: readonly Step[]): void {
  socket.batch(`change table ${table}`, (writer, first) => {
    batchMarker(writer, batchBegin, first);
    for (const [at, { type, flags, content }] of steps.entries()) {
      const ack = at === steps.length - 1 ? flag.ack : 0;
      writer.begin(type, flag.request | flags | ack, first + 1 + at);
      nfgenmsg(writer, familyInet);
      writer.attributeText(attribute.table, table);
      content(writer, at + 1);
      writer.end();
    }
    batchMarker(writer, batchEnd, first + 1 + steps.length);
    return { ackSequence: first + steps.length };
  });
}

function stepsOf(operation: Operation): readonly Step[] | undefined {
  switch (operation.op) {
    case "add-elements":
    case "delete-elements": {
      if (!canSendElements(operation)) return undefined;
      const adding = operation.op === "add-elements";
      const { set, elements } = operation;
      return Array.from({ length: Math.ceil(elements.length / elementsPerMessage) }, (_, part): Step => {
        const some = elements.slice(part * elementsPerMessage, (part + 1) * elementsPerMessage);
        return {
          type: adding ? nft.newElements : nft.delElements,
          flags: adding ? flag.create : 0,
          content: (writer) => {
            writer.attributeText(attribute.elementsSet, objectName(set.name));
            writeElements(writer, set.kind, some, adding);
          },
        };
      });
    }
    case "add-set": {
      const { name, kind } = operation.set;
      const key = sendableSets[kind];
      if (key === undefined) return undefined;
      const content = (writer: MessageWriter, place: number) => {
        writer.attributeText(attribute.setName, objectName(name));
        writer.attributeU32Network(attribute.setFlags, key.flags);
        writer.attributeU32Network(attribute.setKeyType, key.type);
        writer.attributeU32Network(attribute.setKeyLength, key.bytes);
        writer.attributeU32Network(attribute.setId, place);
        writer.attribute(attribute.setUserdata, setUserdata);
      };
      return [{ type: nft.newSet, flags: flag.create, content }];
    }
    case "delete-set":
      return [named(nft.delSet, 0, attribute.setName, operation.set.name)];
    case "add-chain":
      if (operation.chain.hook !== undefined) return undefined;
      return [named(nft.newChain, flag.create, attribute.chainName, operation.chain.name)];
    case "delete-chain":
      return [named(nft.delChain, 0, attribute.chainName, operation.chain)];
    case "flush-chain":
      return [named(nft.delRule, 0, attribute.ruleChain, operation.chain)];
    case "add-rule":
      return ruleStep(operation.chain, operation.rule);
    case "add-table":
    case "delete-table":
      return undefined;
    default:
      return unreachable(operation);
  }
}

function named(type: number, flags: number, nameAttribute: number, name: string): Step {
  return { type, flags, content: (writer) => writer.attributeText(nameAttribute, objectName(name)) };
}

function ruleStep(chain: string, rule: RuleSpec): readonly Step[] | undefined {
  const expressions = ruleExpressions(rule);
  if (expressions === undefined) return undefined;
  const content = (writer: MessageWriter) => {
    writer.attributeText(attribute.ruleChain, objectName(chain));
    writeExpressions(writer, expressions);
    if (rule.comment === undefined) return;
    const text = Buffer.from(`${commentText(rule.comment)}\0`);
    // struct nftnl_udata: type (0 is the comment), length, value.
    writer.attribute(attribute.ruleUserdata, Uint8Array.of(0, text.length, ...text));
  };
  return [{ type: nft.newRule, flags: flag.create | flag.append, content }];
}
