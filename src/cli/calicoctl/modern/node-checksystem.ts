/**
 * `calicoctl node checksystem`: whether this host's kernel can do what the node needs. What can be tried is tried (a veth in
 * a scratch namespace, the packet filter's features on the kernel itself, changing nothing); names of modules tell little on
 * kernels that have them built in (calicoctl.md 5.1).
 */

import { readFileSync } from "node:fs";
import { release } from "node:os";
import { describeError, OperationError } from "../../../base/errors.ts";
import { parseInterfaceName } from "../../../base/names.ts";
import { LinuxHostNetwork } from "../../../kernel/host-network.ts";
import { createVeth, deleteLink } from "../../../kernel/links.ts";
import { NetworkNamespace } from "../../../kernel/namespaces.ts";
import { NetlinkSocket, netlinkRoute } from "../../../kernel/netlink/socket.ts";
import { routeProtocol, tableName } from "../../../node/dataplane/chain-names.ts";
import { triedFeatures } from "../../../node/dataplane/kernel-features.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { needRoot } from "./host-access.ts";
import { readWords } from "./words.ts";

export const checkSystemUsage = `Usage:
  calicoctl node checksystem [-f FILE]
`;

export const checkSystemHelp = `Tries whether this host's kernel can do what the node needs. Changes nothing. Needs root, neither Docker nor the datastore.

${checkSystemUsage}
Options:
  -f, --kernel-config=FILE   the kernel's configuration, to say of what is missing whether it is a module to be loaded

Examples:
  calicoctl node checksystem
`;

const kernelMin = [2, 6, 24] as const;

interface Check {
  readonly name: string;
  readonly present: boolean;
  readonly optional?: boolean;
  readonly why?: string;
  /** The options of a kernel configuration that it hangs on. */
  readonly option?: string;
}

export async function checkSystem(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io } = context;
  const flags = { "kernel-config": { type: "string", short: "f" } } as const;
  const { values, positionals } = readWords(args, flags, checkSystemUsage);
  if (positionals.length > 0) throw new UsageError(checkSystemUsage);
  const config = values["kernel-config"] === undefined ? "" : kernelConfig(values["kernel-config"]);
  needRoot(context, "tries what this host's kernel can do");
  io.stdout("Checking kernel version...\n");
  const version = release();
  const newEnough = isNewEnough(version);
  io.stdout(resultLine(version, newEnough ? "OK" : "FAIL"));
  if (!newEnough) {
    io.stdout(`Minimum kernel version to run Calico is ${kernelMin.join(".")}. Detected kernel version: ${version}\n`);
  }
  io.stdout("Checking kernel modules...\n");
  let failed = !newEnough;
  for (const check of [...(await scratchChecks()), ...filterChecks(), ipv6Check()]) {
    io.stdout(checkText(check, config));
    failed ||= !check.present && check.optional !== true;
  }
  if (failed) {
    throw new CommandFailure("stderr", "system doesn't meet one or more minimum systems requirements to run Calico\n");
  }
  io.stdout("System meets minimum system requirements to run Calico!\n");
  return 0;
}

function resultLine(name: string, result: "OK" | "FAIL" | "SKIP"): string {
  return `\t\t${name.padEnd(20)}\t\t\t\t\t${result}\n`;
}

function checkText({ name, present, optional = false, why, option }: Check, config: string): string {
  if (present) return resultLine(name, "OK");
  const module =
    option !== undefined && new RegExp(`^${option}=m$`, "m").test(config) ? "; it is a module: load it" : "";
  const reason = why === undefined ? "" : `: ${why}`;
  return optional
    ? `WARNING: Unable to detect optional module/feature ${name}; continuing${reason}${module}\n${resultLine(name, "SKIP")}`
    : `WARNING: Unable to detect the ${name} module as Loaded/Builtin module or lsmod${reason}${module}\n${resultLine(name, "FAIL")}`;
}

function isNewEnough(version: string): boolean {
  const numbers = /^(\d+)\.(\d+)(?:\.(\d+))?/
    .exec(version)
    ?.slice(1)
    .map((part) => Number(part ?? 0)) ?? [0];
  for (const [at, least] of kernelMin.entries()) {
    const number = numbers[at] ?? 0;
    if (number !== least) return number > least;
  }
  return true;
}

/** A namespace of its own and a pair of interfaces in it, both gone at once. */
async function scratchChecks(): Promise<readonly Check[]> {
  const missing = (why: string) => [{ name: "netns", present: false, why, option: "CONFIG_NET_NS" }];
  let child: Bun.Subprocess<"pipe", "pipe", "ignore">;
  try {
    // It says something once it is inside, and nothing when it could not get there; then it waits for its input, that is for us.
    const words = ["unshare", "--net", "--", "cat", "/proc/self/stat", "-"];
    child = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  } catch (error) {
    return missing(describeError(error));
  }
  try {
    const { done } = await child.stdout.getReader().read();
    if (done) return missing("unshare --net fails");
    using namespace = NetworkNamespace.open(`/proc/${child.pid}/ns/net`);
    return [{ name: "netns", present: true }, namespace.run(vethCheck)];
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return missing(describeError(error));
  } finally {
    child.kill();
    await child.exited;
  }
}

function vethCheck(): Check {
  using socket = NetlinkSocket.open(netlinkRoute);
  try {
    const [name, peerName] = ["margaytry0", "margaytry1"].map((text) => parseInterfaceName(text, "veth"));
    if (name === undefined || peerName === undefined) return { name: "veth", present: false };
    createVeth(socket, { name, peerName });
    deleteLink(socket, name);
    return { name: "veth", present: true };
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return { name: "veth", present: false, why: describeError(error), option: "CONFIG_VETH" };
  }
}

function filterChecks(): readonly Check[] {
  try {
    using network = LinuxHostNetwork.open({ routeProtocol, table: tableName });
    return triedFeatures(network).map(({ feature: { name, what, option }, present }) => ({
      name,
      present,
      why: what,
      option,
    }));
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return [{ name: "nf_tables", present: false, why: describeError(error), option: "CONFIG_NF_TABLES" }];
  }
}

function ipv6Check(): Check {
  try {
    readFileSync("/proc/net/if_inet6");
    return { name: "ipv6", present: true };
  } catch {
    return { name: "ipv6", present: false, optional: true, why: "IPv6 will be unavailable", option: "CONFIG_IPV6" };
  }
}

function kernelConfig(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandFailure("stderr", `cannot read the kernel's configuration ${file}: ${describeError(error)}\n`);
  }
}
