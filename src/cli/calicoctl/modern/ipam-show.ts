/** `calicoctl ipam show [--show-blocks | --ip=IP]` (calicoctl.md 4.7) */

import { parseArgs } from "node:util";
import { cidrCovers, tryParseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";

export const ipamUsage = `Usage:
  calicoctl ipam show [--show-blocks | --ip=<IP>]
`;

export async function ipamShow({ io, store, clock }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const address = options.ip === undefined ? undefined : tryParseIpAddress(options.ip);
  if (options.ip !== undefined && address === undefined) {
    const problem = `Error executing command: invalid IP address specified: ${options.ip}\n`;
    throw new CommandFailure("stdout", problem);
  }
  const ipam = new Ipam({ store: await store(), clock });
  if (address === undefined) {
    io.stdout(await utilizationTable(ipam, options["show-blocks"]));
    return 0;
  }
  const held = await ipam.lookup(address);
  if (held === undefined) {
    io.stdout(`${address} is not assigned\n`);
    return 0;
  }
  const attributes = Object.entries(held.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  io.stdout(`IP ${address} is in use\nHandle ID: ${held.handle ?? "<none>"}\n`);
  if (attributes.length === 0) io.stdout("No Active Owner attributes defined\n");
  else io.stdout(`Active Owner Attributes:\n${attributes.map(([name, value]) => `  ${name}: ${value}\n`).join("")}`);
  return 0;
}

function readOptions(args: readonly string[]): { ip?: string | undefined; "show-blocks": boolean } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ip: { type: "string" }, "show-blocks": { type: "boolean", default: false } },
    });
    if (values.ip === undefined || !values["show-blocks"]) return values;
  } catch {
    // said below
  }
  throw new UsageError(ipamUsage);
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
  return table(["GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS FREE"], rows);
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

/** Header centred with the extra blank right, texts left, plain numbers right. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, at) => Math.max(title.length, ...rows.map((row) => (row[at] ?? "").length)));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const centred = (text: string, width: number) =>
    text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width);
  const aligned = (text: string, width: number) =>
    /^[\d.e+]+$/.test(text) ? text.padStart(width) : text.padEnd(width);
  const line = (row: readonly string[], align: (text: string, width: number) => string) =>
    `|${widths.map((width, at) => ` ${align(row[at] ?? "", width)} `).join("|")}|`;
  const lines = [rule, line(header, centred), rule, ...rows.map((row) => line(row, aligned)), rule];
  return `${lines.join("\n")}\n`;
}
