/**
 * `calicoctl diags`: what is needed to find a fault, in one archive that only its owner may read (calicoctl.md 5.2).
 * Every part is optional: what cannot be had is said in its file, and the rest is collected. Nothing is sent anywhere.
 */

import { mkdtempSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describeError, OperationError } from "../../../base/errors.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";
import { Diagnostics } from "../diagnostics.ts";
import { commandOfForms, type Typed } from "./usage-forms.ts";

const diagsUsage = `Usage:
  calicoctl diags [--log-dir=<LOG_DIR>] [--output=<FILE>]
`;

export const diagsHelp = `Collects routes, addresses, rules, logs and the datastore's content of this host in one archive.

${diagsUsage}
Options:
  --log-dir=<LOG_DIR>   where logs are, besides Margay's own [default: /var/log/calico]
  --output=<FILE>       where the archive goes [default: a new folder below /tmp]

Passwords, tokens and keys are replaced by [secret] in what is collected from the datastore. As root it holds more. The
archive is for its owner only, and stays on this host.

Examples:
  calicoctl diags
  calicoctl diags --output=/root/host1.tar.gz
`;

export const diags: Command = commandOfForms(diagsUsage, [
  { words: "", options: ["--log-dir=", "--output=", "--upload"], run: collect },
]);

/** Called as the file is; progress is what is said before. */
const commands: readonly (readonly [progress: string | undefined, words: readonly string[]])[] = [
  ["Dumping netstat", ["netstat", "--all", "--numeric"]],
  [undefined, ["ss", "--all", "--numeric"]],
  ["Dumping routes (IPv4)", ["ip", "-4", "route"]],
  ["Dumping routes (IPv6)", ["ip", "-6", "route"]],
  ["Dumping interface info (IPv4)", ["ip", "-4", "addr"]],
  ["Dumping interface info (IPv6)", ["ip", "-6", "addr"]],
  ["Dumping iptables (IPv4)", ["iptables-save"]],
  ["Dumping iptables (IPv6)", ["ip6tables-save"]],
  ["Dumping nftables", ["nft", "list", "ruleset"]],
  ["Dumping ipsets", ["ipset", "list"]],
  ["Dumping service logs", ["journalctl", "-u", "calico-node.service", "--no-pager"]],
];

async function collect(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io, clock, host } = context;
  const logDir = typed.option("--log-dir") ?? "/var/log/calico";
  const diagnostics = new Diagnostics({
    say: io.stdout,
    clock,
    signal: io.signal,
    folder: "diagnostics",
    keepsFailures: true,
  });
  io.stdout("Collecting diagnostics\n");
  const now = new Date(clock.nowMs()).toISOString();
  const output = typed.option("--output") ?? join(newFolder(io.stdout), `diags-${classicStamp(now)}.tar.gz`);
  diagnostics.add("date", `DATE=${now}\n`);
  diagnostics.add("hostname", `${hostname()}\n`);
  for (const [title, words] of commands)
    await diagnostics.command(title, words, words.join("_").replaceAll("/", "-").replaceAll(".", ""));
  await diagnostics.item("Dumping felix stats", "margay_node", async () => {
    const answer = await host.askNode("/v1/status");
    return answer.ok ? `${JSON.stringify(answer.document, null, 2)}\n` : `${answer.message}\n`;
  });
  copyLogs(context, logDir, diagnostics);
  io.stdout("Dumping datastore\n");
  diagnostics.add("etcd_calico", await dump(context));
  io.stdout(`\nDiags saved to ${diagnostics.save(resolve(output), "")}\n\n`);
  io.stdout(
    "If required, you can send this archive to whoever is to look at it; nothing has been sent by this command.\n",
  );
  return 0;
}

function newFolder(say: (text: string) => void): string {
  const folder = mkdtempSync(join(tmpdir(), "calico-diags-"));
  say(`Using temp dir: ${folder}\n`);
  return folder;
}

function classicStamp(now: string): string {
  const [, year = "", month, day, hour, minute, second] =
    /^\d\d(\d\d)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)/.exec(now) ?? [];
  return `${day}${month}${year}_${hour}${minute}${second}`;
}

function copyLogs({ io }: CalicoctlContext, logDir: string, diagnostics: Diagnostics): void {
  const found = diagnostics.directory(logDir, "logs");
  io.stdout(found ? "Copying Calico logs\n" : `No logs found in ${logDir}; skipping log copying\n`);
  diagnostics.directory(servicePlaces(io.env).logDir, "logs/margay");
}

/** The whole tree, as the classic releases listed it. */
async function dump({ io, store }: CalicoctlContext): Promise<string> {
  try {
    const opened = await store();
    const trees = [await opened.list("/calico/"), await opened.list("/margay/")];
    const kvs = trees.flatMap((tree) => tree.kvs);
    return `dir?, key, value\n${kvs.map(({ key, value }) => `FILE, ${key}, ${value}\n`).join("")}`;
  } catch (error) {
    if (!(error instanceof OperationError || error instanceof CommandFailure)) throw error;
    io.stdout("Unable to dump etcd datastore\n");
    return `Unable to dump etcd datastore: ${describeError(error)}\n`;
  }
}
