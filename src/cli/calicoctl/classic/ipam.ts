/** `calicoctl ipam release IP` and `calicoctl ipam info IP` (calicoctl.md 3.7). */

import { type IpAddress, tryParseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { type Command, CommandFailure } from "../command.ts";
import { commandOfForms } from "./usage-forms.ts";

const ipamUsage = `Usage:
  calicoctl ipam release <IP>
  calicoctl ipam info <IP>
`;

export const ipamHelp = `Releases an address that a crash has left taken, or tells what is stored with an address.

${ipamUsage}
An address of a container that runs must not be released: the next container would get it, too.

Examples:
  calicoctl ipam info 192.168.0.1
  calicoctl ipam release 192.168.0.1
`;

export const ipamRelease: Command = commandOfForms(ipamUsage, [
  {
    words: "IP",
    run: async ({ io, store, clock }, typed) => {
      const address = checkAddress(typed.word("IP"));
      const released = await new Ipam({ store: await store(), clock }).releaseAddress(address);
      io.stdout(released ? "Address successfully released\n" : "Failed to release address\n");
      return 0;
    },
  },
]);

export const ipamInfo: Command = commandOfForms(ipamUsage, [
  {
    words: "IP",
    run: async ({ io, store, clock }, typed) => {
      const address = checkAddress(typed.word("IP"));
      const held = await new Ipam({ store: await store(), clock }).lookup(address);
      if (held === undefined) io.stdout(`IP ${address} is not currently assigned\n`);
      else if (Object.keys(held.attributes).length === 0) io.stdout(`No attributes defined for ${address}\n`);
      else io.stdout(`${pythonLiteral(held.attributes)}\n`);
      return 0;
    },
  },
]);

/** @throws CommandFailure */
export function checkAddress(text: string): IpAddress {
  const address = tryParseIpAddress(text);
  if (address === undefined) throw new CommandFailure("stdout", "Invalid IP address specified.\n");
  return address;
}

/** Scripts read the answer as a literal of Python's. */
function pythonLiteral(attributes: Readonly<Record<string, string>>): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
  const entries = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, value]) => `${quoted(name)}: ${quoted(value)}`).join(", ")}}`;
}
