/**
 * Rules in iptables' own tables. nftables cannot speak for iptables: an "accept" in one table does not undo the "drop" of
 * another on the same hook, and native rules inside iptables' tables break iptables-save. So these few rules are written
 * by the iptables programs themselves, and only into chains that exist already. Each carries a comment as its mark.
 */
import { readFileSync } from "node:fs";
import { OperationError } from "../base/errors.ts";

export type IptablesChain = "FORWARD" | "INPUT";

/** One rule, as arguments after the chain's name; the last pair of them is the comment that marks it as its owner's. */
export interface IptablesRule {
  readonly chain: IptablesChain;
  readonly arguments: readonly string[];
}

export type IptablesProgram = "iptables-nft" | "ip6tables-nft" | "iptables-legacy" | "ip6tables-legacy";

/** A filter table that is in force. */
export interface IptablesTable {
  readonly program: IptablesProgram;
  readonly chains: readonly IptablesChain[];
}

export const iptablesChains: readonly IptablesChain[] = ["FORWARD", "INPUT"];
const timeoutMs = 10_000;

/**
 * Both kinds of iptables may be in force at once, each with policies of its own. A legacy one only counts when its table
 * is loaded: listing it would load it.
 */
export function legacyTablesInUse(): IptablesTable[] {
  return ([4, 6] as const).flatMap((family): IptablesTable[] =>
    legacyTables(family).includes("filter")
      ? [{ program: family === 4 ? "iptables-legacy" : "ip6tables-legacy", chains: iptablesChains }]
      : [],
  );
}

/** Names of the tables the legacy iptables has loaded in this namespace. */
export function legacyTables(family: 4 | 6): string[] {
  try {
    return readFileSync(`/proc/thread-self/net/ip${family === 4 ? "" : "6"}_tables_names`, "utf8").split("\n");
  } catch {
    return []; // no such module loaded: no such tables
  }
}

/** The rules of a chain whose text carries the comment, as `iptables -S` prints them. */
export async function listMarked(program: IptablesProgram, chain: IptablesChain, comment: string): Promise<string[]> {
  const output = await run(program, ["-t", "filter", "-S", chain]);
  return output.split("\n").filter((line) => line.includes(`"${comment}"`) || line.includes(`--comment ${comment} `));
}

export async function appendRule(program: IptablesProgram, rule: IptablesRule): Promise<void> {
  await run(program, ["-t", "filter", "-A", rule.chain, ...rule.arguments]);
}

/** False when there was no such rule. */
export async function deleteRule(program: IptablesProgram, rule: IptablesRule): Promise<boolean> {
  try {
    await run(program, ["-t", "filter", "-D", rule.chain, ...rule.arguments]);
    return true;
  } catch (error) {
    if (error instanceof OperationError && error.code === "IPTABLES_REFUSED") return false;
    throw error;
  }
}

async function run(program: IptablesProgram, words: readonly string[]): Promise<string> {
  const path = Bun.which(program) ?? Bun.which(`/usr/sbin/${program}`);
  if (path === null)
    throw new OperationError("IPTABLES_MISSING", `${program} is not installed, though its filter table is in use`, {
      remedy: "install it with: apt-get install iptables",
      retry: "after-change",
    });
  const child = Bun.spawn([path, "-w", "5", ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return output;
  throw new OperationError(
    "IPTABLES_REFUSED",
    `${program} ${words.join(" ")} ended with ${exitCode}: ${errors.trim().slice(0, 300)}`,
    { retry: "backoff" },
  );
}
