/** Numbers of nfnetlink and nf_tables (linux/netfilter/nf_tables.h), and the fixed part of each message. */
import type { MessageWriter } from "../netlink/message.ts";

export const familyInet = 1;
const subsystemNftables = 10;
const base = subsystemNftables << 8;

export const nft = {
  newTable: base | 0,
  getTable: base | 1,
  newChain: base | 3,
  getChain: base | 4,
  delChain: base | 5,
  newRule: base | 6,
  getRule: base | 7,
  delRule: base | 8,
  newSet: base | 9,
  getSet: base | 10,
  delSet: base | 11,
  newElements: base | 12,
  getElements: base | 13,
  delElements: base | 14,
  newGeneration: base | 15,
  getGeneration: base | 16,
} as const;

export const batchBegin = 0x10;
export const batchEnd = 0x11;
/** NFNLGRP_NFTABLES: every change of every table. */
export const groupNftables = 7;
export const nfgenmsgBytes = 4;

export const attribute = {
  generation: 1,
  table: 1,
  chainName: 3,
  chainHook: 4,
  ruleChain: 2,
  ruleExpressions: 4,
  ruleUserdata: 7,
  setName: 2,
  setFlags: 3,
  setKeyType: 4,
  setKeyLength: 5,
  setId: 10,
  setUserdata: 13,
  elementsSet: 2,
  elementsList: 3,
  listItem: 1,
  elementKey: 1,
  elementData: 2,
  elementFlags: 3,
  dataValue: 1,
  dataVerdict: 2,
  verdictCode: 1,
  verdictChain: 2,
  expressionName: 1,
  expressionData: 2,
  metaDestination: 1,
  metaKey: 2,
  metaSource: 3,
  payloadDestination: 1,
  payloadBase: 2,
  payloadOffset: 3,
  payloadLength: 4,
  compareSource: 1,
  compareOperator: 2,
  compareData: 3,
  bitwiseSource: 1,
  bitwiseDestination: 2,
  bitwiseLength: 3,
  bitwiseMask: 4,
  bitwiseXor: 5,
  lookupSet: 1,
  lookupSource: 2,
  lookupFlags: 5,
  immediateDestination: 1,
  immediateData: 2,
} as const;

export const intervalEnd = 0x1;
export const setFlag = { interval: 0x4, map: 0x8 } as const;
export const verdictCode = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
export type VerdictName = keyof typeof verdictCode;

/** libnftables' numbers of the types of keys; a concatenation has six bits for each part (datatype.h). */
export const keyType = { ipv4: 7, ipv6: 8, protocol: 12, service: 13, interfaceName: 41 } as const;

/** For libnftables, which lists the set: its keys are in network order (udata.h, NFTNL_UDATA_SET_KEYBYTEORDER). */
export const setUserdata = Uint8Array.of(0, 4, 2, 0, 0, 0);

export function writeVerdict(writer: MessageWriter, name: VerdictName, chain?: string): void {
  writer.nest(attribute.dataVerdict, () => {
    writer.attributeU32Network(attribute.verdictCode, verdictCode[name]);
    if (chain !== undefined) writer.attributeText(attribute.verdictChain, chain);
  });
}

export function nfgenmsg(writer: MessageWriter, family = familyInet, resource = 0): MessageWriter {
  return writer.u8(family).u8(0).u16Network(resource);
}

export function batchMarker(writer: MessageWriter, type: number, sequence: number): void {
  writer.begin(type, 0x1, sequence);
  nfgenmsg(writer, 0, subsystemNftables).end();
}
