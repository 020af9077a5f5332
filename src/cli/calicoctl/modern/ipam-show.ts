/** `calicoctl ipam show` (calicoctl.md 4.7) */

import { cidrCovers, tryParseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import type { HeldAddress } from "../../../ipam/ipam-requests.ts";
import { decodeIpamConfig, defaultIpamConfigText } from "../../../model/ipam-documents.ts";
import { parseJson } from "../../../model/json.ts";
import { ipamConfigKey } from "../../../model/keys.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { boxedTable } from "./boxed-table.ts";
import { readWords } from "./words.ts";

export const ipamShowUsage = `Usage:
  calicoctl ipam show [--ip=IP | --show-blocks | --show-borrowed | --show-configuration]
`;

export const ipamShowHelp = `Shows how much of the address pools is used, and by whom.

${ipamShowUsage}
Options:
      --ip=IP              who holds the address
      --show-blocks        the blocks below their pools
      --show-borrowed      addresses that a host uses from another host's block
      --show-configuration how addresses are given out

Examples:
  calicoctl ipam show --show-blocks
  calicoctl ipam show --ip=192.168.10.65
`;

export async function ipamShow({ io, store, clock }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      ip: { type: "string" },
      "show-blocks": { type: "boolean", default: false },
      "show-borrowed": { type: "boolean", default: false },
      "show-configuration": { type: "boolean", default: false },
    },
    ipamShowUsage,
  );
  const chosen = [
    values.ip !== undefined,
    values["show-blocks"],
    values["show-borrowed"],
    values["show-configuration"],
  ];
  if (positionals.length > 0 || chosen.filter(Boolean).length > 1) throw new UsageError(ipamShowUsage);
  const address = values.ip === undefined ? undefined : parseAddress(values.ip);
  const opened = await store();
  const ipam = new Ipam({ store: opened, clock });
  if (address !== undefined) io.stdout(addressText(address, await ipam.lookup(address)));
  else if (values["show-borrowed"]) io.stdout(borrowedText(await ipam.listHeld()));
  else if (values["show-configuration"]) io.stdout(await configurationTable(opened));
  else io.stdout(await utilizationTable(ipam, values["show-blocks"]));
  return 0;
}

/** @throws CommandFailure, on standard output as the original's */
export function parseAddress(text: string) {
  const address = tryParseIpAddress(text);
  if (address !== undefined) return address;
  throw new CommandFailure("stdout", `Error executing command: invalid IP address specified: ${text}\n`);
}

function addressText(address: string, held: HeldAddress | undefined): string {
  if (held === undefined) return `${address} is not assigned\n`;
  const attributes = Object.entries(held.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  const owners =
    attributes.length === 0
      ? "No Active Owner attributes defined\n"
      : `Active Owner Attributes:\n${attributes.map(([name, value]) => `  ${name}: ${value}\n`).join("")}`;
  return `IP ${address} is in use\nHandle ID: ${held.handle ?? "<none>"}\n${owners}`;
}

function borrowedText(held: readonly HeldAddress[]): string {
  const borrowed = held.filter(
    ({ attributes: { node }, blockOwner }) => node !== undefined && blockOwner !== undefined && node !== blockOwner,
  );
  const rows = borrowed.map(({ address, attributes, block, blockOwner = "", handle = "" }) => [
    address,
    attributes.node ?? "",
    block,
    blockOwner,
    attributes.pod !== undefined ? "pod" : attributes["vmi-name"] !== undefined ? "vmi" : (attributes.type ?? ""),
    attributes.pod === undefined ? handle : `${attributes.namespace ?? ""}/${attributes.pod}`,
  ]);
  const table = boxedTable(["IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"], rows);
  const unknown = held.filter(({ attributes: { node } }) => node === undefined).length;
  if (unknown === 0) return table;
  return `${table}\nNote: found ${unknown} IP allocations without an explicit node association. Unable to determine if they are borrowed.\n`;
}

/** Members that a document has besides the three of every release are shown as they are. */
async function configurationTable(store: Store): Promise<string> {
  const text = (await store.get(ipamConfigKey))?.value ?? defaultIpamConfigText;
  const { strictAffinity, autoAllocateBlocks, blocksPerHostMax } = decodeIpamConfig(text, ipamConfigKey);
  const { kubeVirtVMAddressPersistence, ipCooldownSeconds } = parseJson(text) as Readonly<Record<string, unknown>>;
  const rows = [
    ["StrictAffinity", String(strictAffinity)],
    ["AutoAllocateBlocks", String(autoAllocateBlocks)],
    ["MaxBlocksPerHost", String(blocksPerHostMax)],
    ...(kubeVirtVMAddressPersistence === undefined
      ? []
      : [["KubeVirtVMAddressPersistence", String(kubeVirtVMAddressPersistence)]]),
    ...(ipCooldownSeconds === undefined ? [] : [["IPCooldownSeconds", String(ipCooldownSeconds)]]),
  ];
  return boxedTable(["PROPERTY", "VALUE"], rows);
}

async function utilizationTable(ipam: Ipam, showBlocks: boolean): Promise<string> {
  const { pools, blocks } = await ipam.utilization();
  const rows: string[][] = [];
  for (const { pool, capacity, used } of pools) {
    rows.push(["IP Pool", pool.cidr, ...numbers(Number(capacity), used)]);
    if (!showBlocks) continue;
    for (const block of blocks.filter(({ cidr }) => cidrCovers(pool.cidr, cidr))) {
      rows.push(["Block", block.cidr, ...numbers(block.capacity, block.used)]);
    }
  }
  if (showBlocks) {
    for (const block of blocks.filter(({ cidr }) => !pools.some(({ pool }) => cidrCovers(pool.cidr, cidr)))) {
      rows.push(["Block", block.cidr, ...numbers(block.capacity, block.used)]);
    }
  }
  return boxedTable(["GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS FREE"], rows);
}

function numbers(capacity: number, used: number): readonly string[] {
  const percent = (part: number) => `${Math.round((100 * part) / capacity)}%`;
  const free = capacity - used;
  return [short(capacity), `${short(used)} (${percent(used)})`, `${short(free)} (${percent(free)})`];
}

/** Go's %.5g */
function short(value: number): string {
  if (value < 100_000) return String(value);
  return value
    .toPrecision(5)
    .replace(/\.?0+(?=e|$)/, "")
    .replace(/e\+(\d)$/, "e+0$1");
}
