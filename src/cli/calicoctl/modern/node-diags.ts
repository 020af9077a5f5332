/** `calicoctl node diags` (calicoctl.md 5.2): what one wants to know of this host when something is wrong, as one archive. */

import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { deadline } from "../../../base/clock.ts";
import { configFilePath } from "../../../store/connection-settings.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, UsageError } from "../command.ts";
import { Diagnostics, fileStamp } from "../diagnostics.ts";
import { needRoot } from "./host-access.ts";
import { readWords } from "./words.ts";

export const nodeDiagsUsage = `Usage:
  calicoctl node diags [--log-dir=DIR] [--run-dir=DIR] [--output=FILE]
`;

export const nodeDiagsHelp = `Collects what tells how this host stands into one archive, without secrets. Needs root, not the datastore.

${nodeDiagsUsage}
Options:
      --log-dir=DIR   logs to copy (default /var/log/calico)
      --run-dir=DIR   where the node's socket is (default /run/margay)
      --output=FILE   the archive (default: a new one below /tmp)

What cannot be had is said and left out.

Examples:
  calicoctl node diags --output=host1.tar.gz
`;

/** Title, command, file. Programs that a host need not have come with another that tells the same. */
const commands: readonly (readonly [title: string, words: string, name: string])[] = [
  ["Dumping routes (IPv4)", "ip -4 route show table all", "ipv4_route"],
  ["Dumping routes (IPv6)", "ip -6 route show table all", "ipv6_route"],
  ["Dumping interface info (IPv4)", "ip -4 addr", "ipv4_addr"],
  ["Dumping interface info (IPv6)", "ip -6 addr", "ipv6_addr"],
  ["Dumping interfaces", "ip -d -s link", "links"],
  ["Dumping nftables", "nft list ruleset", "nft_ruleset"],
  ["Dumping iptables (IPv4)", "iptables-save -c", "ipv4_tables"],
  ["Dumping iptables (IPv6)", "ip6tables-save -c", "ipv6_tables"],
  ["Dumping ipsets", "ipset list", "ipsets"],
];
const units = ["calico-node", "margay-node"];

const apiTimeoutMs = 5_000;

export async function nodeDiags(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io, clock } = context;
  const { values, positionals } = readWords(
    args,
    {
      "log-dir": { type: "string", default: "/var/log/calico" },
      "run-dir": { type: "string", default: "/run/margay" },
      output: { type: "string" },
    },
    nodeDiagsUsage,
  );
  if (positionals.length > 0) throw new UsageError(nodeDiagsUsage);
  needRoot(context, "reads this host's firewall, node and logs");
  io.stdout("Collecting diagnostics\n");
  const diagnostics = new Diagnostics({ say: io.stdout, clock, signal: io.signal, folder: "diagnostics" });
  await collectHost(context, diagnostics, { logDir: values["log-dir"], runDir: values["run-dir"] });
  const file = diagnostics.save(values.output, `diags-${fileStamp(clock.nowMs())}.tar.gz`);
  io.stdout(
    `\nDiags saved to ${file}\nIf required, you can upload the diagnostics bundle to a file sharing service.\n`,
  );
  return 0;
}

export interface HostCollection {
  /** undefined: no logs. */
  readonly logDir: string | undefined;
  readonly runDir: string;
  readonly prefix?: string;
  /** Journals and logs no older than that. */
  readonly sinceMs?: number;
}

/** Everything of this host, into an archive that may hold more. */
export async function collectHost(
  { io, clock }: Pick<CalicoctlContext, "io" | "clock">,
  diagnostics: Diagnostics,
  { logDir, runDir, prefix = "", sinceMs = 0 }: HostCollection,
): Promise<void> {
  diagnostics.add(`${prefix}date`, `${new Date(clock.nowMs()).toISOString()}\n`);
  diagnostics.add(`${prefix}hostname`, `${hostname()}\n`);
  const sockets = Bun.which("ss") === null ? "netstat --all --numeric" : "ss -a -n";
  await diagnostics.command("Dumping netstat", sockets.split(" "), `${prefix}${sockets.split(" ")[0]}`);
  for (const [title, words, name] of commands) await diagnostics.command(title, words.split(" "), `${prefix}${name}`);
  const since = sinceMs === 0 ? [] : [`--since=@${Math.floor(sinceMs / 1_000)}`];
  for (const unit of units) {
    const words = ["journalctl", "-u", `${unit}.service`, "--no-pager", ...since];
    const name = `${prefix}journalctl_${unit.replace("-", "_")}`;
    await diagnostics.command(`Copying journal for ${unit}.service`, words, name);
  }
  const socket = join(runDir, "node.sock");
  await diagnostics.item("Dumping the node's status", `${prefix}node_status`, async () => {
    const answer = await fetch("http://node/v1/status", {
      unix: socket,
      signal: deadline(clock, apiTimeoutMs, io.signal),
    });
    return `${JSON.stringify(await answer.json(), undefined, 2)}\n`;
  });
  await diagnostics.item("Dumping the node's metrics", `${prefix}node_metrics`, async () => {
    const answer = await fetch("http://127.0.0.1:9099/metrics", { signal: deadline(clock, apiTimeoutMs, io.signal) });
    return await answer.text();
  });
  if (existsSync(configFilePath)) diagnostics.add(`${prefix}calicoctl.cfg`, readFileSync(configFilePath, "utf8"));
  if (logDir === undefined) return;
  io.stdout("Copying Calico logs\n");
  if (!diagnostics.directory(logDir, `${prefix}logs`, sinceMs)) {
    io.stdout(`No logs found in ${logDir}; skipping log copying\n`);
  }
  diagnostics.directory(servicePlaces(io.env).logDir, `${prefix}logs/margay`, sinceMs);
}
