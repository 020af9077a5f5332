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
  newRule: base | 6,
  getRule: base | 7,
  newSet: base | 9,
  getSet: base | 10,
  newElements: base | 12,
  getElements: base | 13,
  delElements: base | 14,
  newGeneration: base | 15,
} as const;

export const batchBegin = 0x10;
export const batchEnd = 0x11;
/** NFNLGRP_NFTABLES: every change of every table. */
export const groupNftables = 7;
export const nfgenmsgBytes = 4;

export const attribute = {
  table: 1,
  chainName: 3,
  chainHook: 4,
  ruleChain: 2,
  ruleUserdata: 7,
  setName: 2,
  setFlags: 3,
  setKeyType: 4,
  setKeyLength: 5,
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
} as const;

export const intervalEnd = 0x1;
export const setFlag = { interval: 0x4, map: 0x8 } as const;
export const verdictCode = { drop: 0, accept: 1, goto: -4 } as const;

export function nfgenmsg(writer: MessageWriter, family = familyInet, resource = 0): MessageWriter {
  return writer.u8(family).u8(0).u16Network(resource);
}

export function batchMarker(writer: MessageWriter, type: number, sequence: number): void {
  writer.begin(type, 0x1, sequence);
  nfgenmsg(writer, 0, subsystemNftables).end();
}
