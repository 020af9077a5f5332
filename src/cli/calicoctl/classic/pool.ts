/** `calicoctl pool add|remove|range add|show` (calicoctl.md 3.6): pools are IPPools named by their CIDR. */

import {
  type Cidr,
  cidrOverlaps,
  ipFamily,
  prefixLength,
  tryParseCidr,
  tryParseIpAddress,
} from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { FelixConfiguration } from "../../../model/felix-configuration.ts";
import { IpPool, newIpPool } from "../../../model/ip-pool.ts";
import { ipPoolKey, resourceKey } from "../../../model/keys.ts";
import { apiVersion, decode, newMetadata } from "../../../model/resource.ts";
import type { KeyValue, Store } from "../../../store/store.ts";
import { type CalicoctlContext, type Command, CommandFailure, paragraph } from "../command.ts";
import { deleteIpPool } from "../modern/pool-deletion.ts";
import { cidrsOfRange } from "./address-range.ts";
import { storeToWrite } from "./classic-store.ts";
import { prettyTable } from "./pretty-table.ts";
import { changeResource, listResources } from "./stored-resource.ts";
import { commandOfForms, type Typed } from "./usage-forms.ts";

const poolUsage = `Usage:
  calicoctl pool add <CIDRS>... [--ipip] [--nat-outgoing]
  calicoctl pool remove <CIDRS>...
  calicoctl pool range add <START_IP> <END_IP> [--ipip] [--nat-outgoing]
  calicoctl pool show [--ipv4 | --ipv6]
`;

export const poolHelp = `Shows and changes the pools that containers get their addresses from.

${poolUsage}
Options:
  --ipip           encapsulate traffic to these addresses (IPv4 only)
  --nat-outgoing   hide these addresses behind the host's when they leave all pools
  --ipv4, --ipv6   only pools of this kind

A pool that exists is given the options of the command. Addresses in use stay with their containers when a pool goes.

Examples:
  calicoctl pool add 192.168.0.0/16 --nat-outgoing
  calicoctl pool range add 10.2.0.0 10.2.3.255
  calicoctl pool remove 192.168.0.0/16
  calicoctl pool show --ipv4
`;

const addOptions = ["--ipip", "--nat-outgoing"];

export const pool: Command = commandOfForms(poolUsage, [
  { words: "show", options: ["--ipv4"], run: (context, typed) => show(context, typed.has("--ipv4") ? [4] : [4, 6]) },
  { words: "show", options: ["--ipv6"], run: (context) => show(context, [6]) },
  { words: "range add START END", options: addOptions, run: addRange },
  { words: "add CIDRS...", options: addOptions, run: add },
  { words: "remove CIDRS...", run: (context, typed) => remove(context, typed.all("CIDRS")) },
]);

async function show({ io, store }: CalicoctlContext, families: readonly (4 | 6)[]): Promise<number> {
  const pools = await storedPools(await store());
  for (const family of families) {
    const rows = pools
      .filter(({ cidr }) => ipFamily(cidr) === family)
      .map(({ cidr, resource: { spec } }) => {
        const options = [
          ...(isOn(spec.ipipMode) ? ["ipip"] : []),
          ...(spec.natOutgoing === true ? ["nat-outgoing"] : []),
        ];
        return [cidr, family === 4 ? options.join(",") : ""];
      })
      .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
    io.stdout(prettyTable([`IPv${family} CIDR`, "Options"], rows));
  }
  return 0;
}

async function add(context: CalicoctlContext, typed: Typed): Promise<number> {
  const cidrs = typed.all("CIDRS").map(checkCidr);
  const [first] = cidrs;
  if (first === undefined) return 1;
  const family = ipFamily(first);
  if (cidrs.some((cidr) => ipFamily(cidr) !== family)) {
    throw new CommandFailure("stdout", "All pools of one command must be of the same IP version.\nNo pools added.\n");
  }
  checkOptions(family, typed);
  const small = cidrs.find((cidr) => prefixLength(cidr) > longestPrefix(family));
  if (small !== undefined) {
    const limit = `An IPv${family} pool must have a prefix length of ${longestPrefix(family)} or lower.`;
    throw new CommandFailure("stdout", `${limit}\nGiven: ${small}.\nNo pools added.\n`);
  }
  const store = await storeToWrite(context);
  const existing = await storedPools(store);
  for (const [at, cidr] of cidrs.entries()) {
    const cannot = (what: string) =>
      new CommandFailure("stdout", `Cannot add IP pool ${cidr} - pool overlaps with ${what}\n`);
    const old = existing.find((other) => other.cidr !== cidr && cidrOverlaps(other.cidr, cidr));
    if (old !== undefined) throw cannot(`an existing pool ${old.cidr}`);
    const other = cidrs.find((candidate, index) => index !== at && cidrOverlaps(candidate, cidr));
    if (other !== undefined) throw cannot(`another new pool ${other}`);
  }
  for (const cidr of cidrs) await writePool(context, store, existing, cidr, typed);
  if (typed.has("--ipip")) await allowIpip(context, store);
  return 0;
}

async function addRange(context: CalicoctlContext, typed: Typed): Promise<number> {
  const fail = (problem: string) => new CommandFailure("stdout", `${problem}\n`);
  const start = tryParseIpAddress(typed.word("START"));
  const end = tryParseIpAddress(typed.word("END"));
  if (start === undefined) throw fail("Invalid START_IP specified.");
  if (end === undefined) throw fail("Invalid END_IP specified.");
  const family = ipFamily(start);
  if (ipFamily(end) !== family) throw fail("START_IP and END_IP must be the same ip version");
  const cidrs = cidrsOfRange(start, end);
  if (cidrs === undefined) throw fail("START_IP must be a smaller ip address than END_IP");
  checkOptions(family, typed);
  if (cidrs.some((cidr) => prefixLength(cidr) > longestPrefix(family))) {
    const limit = `IPv${family} ranges are split into pools, with the smallest pool size allowed having a prefix length of /${longestPrefix(family)}.`;
    const problem = `${limit} One or more of the generated pools is too small (prefix length is too high).`;
    throw fail(`${problem}\nRange given: ${start} - ${end}\nPools: [${cidrs.join(", ")}]\nNo pools added.`);
  }
  const store = await storeToWrite(context);
  const existing = await storedPools(store);
  const conflict = existing.find((other) => cidrs.some((cidr) => cidrOverlaps(cidr, other.cidr)));
  if (conflict !== undefined) throw fail(`Cannot add range - range conflicts with pool ${conflict.cidr}`);
  for (const cidr of cidrs) await writePool(context, store, existing, cidr, typed);
  if (typed.has("--ipip")) await allowIpip(context, store);
  return 0;
}

async function remove(context: CalicoctlContext, texts: readonly string[]): Promise<number> {
  const { io, clock } = context;
  const cidrs = texts.map(checkCidr);
  const store = await context.store();
  const existing = await storedPools(store);
  for (const cidr of cidrs) {
    const stored = existing.find((other) => other.cidr === cidr);
    if (stored === undefined) throw new CommandFailure("stdout", `${cidr} is not a configured pool.\n`);
  }
  const ipam = new Ipam({ store, clock });
  for (const cidr of cidrs) {
    io.stdout("Disabling IP Pool\nRemoving IPAM configuration for pool\n");
    const kv = existing.find((other) => other.cidr === cidr)?.kv;
    if (kv === undefined || !(await deleteIpPool({ store, clock, signal: io.signal, ipam }, kv))) {
      const problem =
        "Conflicting modifications have been made to the IPAM configuration for this pool.  Please retry the command.";
      throw new CommandFailure("stdout", paragraph(problem));
    }
    io.stdout("Deleted IP Pool\n");
  }
  return 0;
}

interface StoredPool {
  readonly kv: KeyValue;
  readonly cidr: Cidr;
  readonly resource: IpPool;
}

async function storedPools(store: Store): Promise<readonly StoredPool[]> {
  return (await listResources(store, "IPPool", decodePool)).flatMap(({ kv, resource }) => {
    const cidr = tryParseCidr(resource.spec.cidr);
    return cidr === undefined ? [] : [{ kv, cidr, resource }];
  });
}

function decodePool(text: string, key: string): IpPool {
  return decode(IpPool, text, key);
}

async function writePool(
  { clock }: CalicoctlContext,
  store: Store,
  existing: readonly StoredPool[],
  cidr: Cidr,
  typed: Typed,
): Promise<void> {
  const name = existing.find((other) => other.cidr === cidr)?.resource.metadata.name ?? poolName(cidr);
  const [ipip, natOutgoing] = [typed.has("--ipip"), typed.has("--nat-outgoing")];
  await changeResource<IpPool>(store, { key: ipPoolKey(name), decode: decodePool }, (stored) => {
    const pool = stored ?? newIpPool({ name, cidr }, { uid: clock.uuid(), nowMs: clock.nowMs() });
    const { vxlanMode } = pool.spec;
    const spec = {
      ...pool.spec,
      natOutgoing,
      ipipMode: ipip ? ("Always" as const) : ("Never" as const),
      ...(ipip && isOn(vxlanMode) ? { vxlanMode: "Never" as const } : {}),
    };
    return { ...pool, spec };
  });
}

/** With the first such pool, hosts are told that they have to encapsulate. */
async function allowIpip({ clock }: CalicoctlContext, store: Store): Promise<void> {
  const key = resourceKey({ kind: "FelixConfiguration", name: "default" });
  const decodeConfiguration = (text: string) => decode(FelixConfiguration, text, key);
  await changeResource<FelixConfiguration>(store, { key, decode: decodeConfiguration }, (stored) => {
    const metadata = newMetadata("default", { uid: clock.uuid(), nowMs: clock.nowMs() });
    const before = stored ?? { kind: "FelixConfiguration" as const, apiVersion, metadata, spec: {} };
    return before.spec.ipipEnabled === true ? before : { ...before, spec: { ...before.spec, ipipEnabled: true } };
  });
}

/** Calico's converter: every mark becomes a dash; a name cannot begin with one. */
export function poolName(cidr: Cidr): string {
  const name = cidr.replaceAll(/[./:]/g, "-");
  return name.startsWith("-") ? `0${name}` : name;
}

function checkCidr(text: string): Cidr {
  const cidr = tryParseCidr(text);
  if (cidr === undefined) throw new CommandFailure("stdout", `Invalid CIDR specified ${text}\n`);
  return cidr;
}

function checkOptions(family: 4 | 6, typed: Typed): void {
  if (family === 6 && typed.has("--ipip")) {
    throw new CommandFailure("stdout", "IP in IP not supported for IPv6 pools\n");
  }
}

/** A pool must have room for a block. */
function longestPrefix(family: 4 | 6): number {
  return family === 4 ? 26 : 122;
}

function isOn(mode: string | undefined): boolean {
  return mode !== undefined && mode !== "" && mode !== "Never";
}
