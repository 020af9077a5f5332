/**
 * `calicoctl diags`: what is needed to find a fault, in one archive that only its owner may read (calicoctl.md 5.2).
 * Every part is optional: what cannot be had is said in its file, and the rest is collected. Nothing is sent anywhere.
 */

import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describeError, OperationError } from "../../../base/errors.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";
import { withoutSecrets } from "../secrets.ts";
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
const commandWithinMs = 15_000;

async function collect(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io, clock } = context;
  const logDir = typed.option("--log-dir") ?? "/var/log/calico";
  io.stdout("Collecting diagnostics\n");
  const temporary = mkdtempSync(join(tmpdir(), "calico-diags-"));
  const folder = join(temporary, "diagnostics");
  mkdirSync(folder, { mode: 0o700 });
  io.stdout(`Using temp dir: ${temporary}\n`);
  const save = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  const now = new Date(clock.nowMs()).toISOString();
  save("date", `DATE=${now}\n`);
  save("hostname", `${hostname()}\n`);
  for (const [progress, words] of commands) {
    if (progress !== undefined) io.stdout(`${progress}\n`);
    const { text, failed } = await outputOf(words);
    if (failed) io.stdout(`Problem running command: ${words.join(" ")}\n  ${text.trimEnd()}\n`);
    save(words.join("_").replaceAll("/", "-").replaceAll(".", ""), text);
  }
  io.stdout("Dumping felix stats\n");
  save("margay_node", await nodeStatus(context));
  copyLogs(context, logDir, folder);
  io.stdout("Dumping datastore\n");
  save("etcd_calico", await dump(context));
  const output = typed.option("--output");
  const archive = await pack(temporary, output, now);
  rmSync(output === undefined ? folder : temporary, { recursive: true });
  io.stdout(`\nDiags saved to ${archive}\n\n`);
  io.stdout(
    "If required, you can send this archive to whoever is to look at it; nothing has been sent by this command.\n",
  );
  return 0;
}

async function outputOf(words: readonly string[]): Promise<{ text: string; failed: boolean }> {
  try {
    const child = Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: commandWithinMs });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const exitCode = await child.exited;
    return exitCode === 0
      ? { text: out, failed: false }
      : { text: `${out}${err}exit code ${exitCode}\n`, failed: true };
  } catch (error) {
    return { text: `${describeError(error)}\n`, failed: true };
  }
}

async function nodeStatus({ host }: CalicoctlContext): Promise<string> {
  try {
    const answer = await host.askNode("/v1/status");
    return answer.ok ? `${JSON.stringify(answer.document, null, 2)}\n` : `${answer.message}\n`;
  } catch (error) {
    return `${describeError(error)}\n`;
  }
}

function copyLogs({ io }: CalicoctlContext, logDir: string, folder: string): void {
  const sources = [logDir, servicePlaces(io.env).logDir].filter((path) => existsSync(path));
  if (!existsSync(logDir)) io.stdout(`No logs found in ${logDir}; skipping log copying\n`);
  if (sources.length === 0) return;
  if (existsSync(logDir)) io.stdout("Copying Calico logs\n");
  for (const source of sources) {
    const target = join(folder, "logs", source === logDir ? "" : "margay");
    try {
      cpSync(source, target, { recursive: true, filter: (path) => !path.endsWith("/lock") });
    } catch (error) {
      io.stdout(`Problem copying ${source}: ${describeError(error)}\n`);
    }
  }
}

/** The whole tree, as the classic releases listed it. */
async function dump({ io, store }: CalicoctlContext): Promise<string> {
  try {
    const opened = await store();
    const trees = [await opened.list("/calico/"), await opened.list("/margay/")];
    const kvs = trees.flatMap((tree) => tree.kvs);
    const lines = kvs.map(({ key, value }) => `FILE, ${key}, ${withoutSecrets(value)}\n`);
    return `dir?, key, value\n${lines.join("")}`;
  } catch (error) {
    if (!(error instanceof OperationError || error instanceof CommandFailure)) throw error;
    io.stdout("Unable to dump etcd datastore\n");
    return `Unable to dump etcd datastore: ${describeError(error)}\n`;
  }
}

async function pack(temporary: string, wanted: string | undefined, now: string): Promise<string> {
  const [, year = "", month, day, hour, minute, second] =
    /^\d\d(\d\d)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)/.exec(now) ?? [];
  const archive = join(temporary, `diags-${day}${month}${year}_${hour}${minute}${second}.tar.gz`);
  writeFileSync(archive, "", { mode: 0o600 });
  const { text, failed } = await outputOf(["tar", "-czf", archive, "-C", temporary, "diagnostics"]);
  if (failed) throw new CommandFailure("stdout", `Cannot write ${archive}: ${text}`);
  chmodSync(archive, 0o600);
  if (wanted === undefined) return archive;
  const target = resolve(wanted);
  try {
    renameSync(archive, target);
  } catch {
    cpSync(archive, target); // on another file system
    chmodSync(target, 0o600);
  }
  return target;
}
