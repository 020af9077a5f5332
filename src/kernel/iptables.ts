/**
 * Rules in iptables' own tables. nftables cannot speak for iptables: an "accept" in one table does not undo the "drop" of
 * another on the same hook, and native rules inside iptables' tables break iptables-save. So these few rules are written
 * by the iptables programs themselves, and only into chains that exist already. Each carries a comment as its mark.
 */
import { readFileSync } from "node:fs";
import { OperationError } from "../base/errors.ts";

/** One rule, as arguments after the chain's name; the last pair of them is the comment that marks it as its owner's. */
export interface IptablesRule {
  readonly chain: "FORWARD";
  readonly arguments: readonly string[];
}

export type IptablesVariant = "nft" | "legacy";

const timeoutMs = 10_000;

/**
 * Both kinds of iptables may be in force at once, each with a FORWARD policy of its own. The legacy one only counts when
 * its table is loaded: listing it would load it.
 */
export function variantsInUse(nftFilterTableExists: boolean): IptablesVariant[] {
  const variants: IptablesVariant[] = nftFilterTableExists ? ["nft"] : [];
  if (legacyTables().includes("filter")) variants.push("legacy");
  return variants;
}

/** Names of the tables the legacy iptables has loaded in this namespace. */
export function legacyTables(): string[] {
  try {
    return readFileSync("/proc/thread-self/net/ip_tables_names", "utf8").split("\n");
  } catch {
    return []; // no such module loaded: no such tables
  }
}

/** The rules whose text carries the comment, as `iptables -S` prints them. */
export async function listMarked(variant: IptablesVariant, comment: string): Promise<string[]> {
  const output = await run(variant, ["-t", "filter", "-S", "FORWARD"]);
  return output.split("\n").filter((line) => line.includes(`"${comment}"`) || line.includes(`--comment ${comment} `));
}

export async function appendRule(variant: IptablesVariant, rule: IptablesRule): Promise<void> {
  await run(variant, ["-t", "filter", "-A", rule.chain, ...rule.arguments]);
}

/** False when there was no such rule. */
export async function deleteRule(variant: IptablesVariant, rule: IptablesRule): Promise<boolean> {
  try {
    await run(variant, ["-t", "filter", "-D", rule.chain, ...rule.arguments]);
    return true;
  } catch (error) {
    if (error instanceof OperationError && error.code === "IPTABLES_REFUSED") return false;
    throw error;
  }
}

async function run(variant: IptablesVariant, words: readonly string[]): Promise<string> {
  const program = variant === "nft" ? "iptables-nft" : "iptables-legacy";
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
