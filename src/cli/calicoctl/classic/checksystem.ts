/**
 * `calicoctl checksystem`: whether this host can run a node (calicoctl.md 5.1). What the kernel can do is tried out, in
 * place of looking for names of modules, which are missed where they are built in.
 */

import { release } from "node:os";
import { describeError, OperationError } from "../../../base/errors.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";
import { requireRoot } from "./root.ts";
import { commandOfForms, type Typed } from "./usage-forms.ts";

const checksystemUsage = `Usage:
  calicoctl checksystem [--fix] [--libnetwork] [--runtime=(docker|rkt|none)]
`;

export const checksystemHelp = `Checks whether this host can run a node: kernel, datastore and, unless --runtime=none, Docker.

${checksystemUsage}
Silent and exit code 0 when all is well. Nothing is changed; needs root.

Options:
  --libnetwork     Docker must be able to use network drivers
  --runtime=none   do not look for Docker
  --fix            accepted, without effect

Examples:
  calicoctl checksystem
  calicoctl checksystem --runtime=none
`;

export const checksystem: Command = commandOfForms(checksystemUsage, [
  { words: "", options: ["--fix", "--libnetwork", "--runtime="], run: check },
]);

const kernelLeast = [2, 6, 24] as const;
const etcdLeast = [2, 0, 10] as const;
/** Docker's API when it got network drivers. */
const libnetworkLeast = 21;
const answerWithinMs = 3_000;

async function check(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const runtime = typed.option("--runtime") ?? "docker";
  if (!["docker", "rkt", "none"].includes(runtime)) {
    throw new CommandFailure("stdout", "Runtime must be 'docker', 'rkt' or 'none'.\n");
  }
  requireRoot(context, "It tries what this host's kernel can do.");
  if (typed.has("--fix")) io.stderr("WARNING: Deprecated flag --fix: checksystem no longer fixes detected issues\n");
  const good = [
    checkKernelVersion(context, release()),
    await checkKernelFeatures(context),
    runtime !== "docker" || (await checkDocker(context, typed.has("--libnetwork"))),
    await checkStore(context),
  ];
  return good.every(Boolean) ? 0 : 1;
}

export function checkKernelVersion({ io }: Pick<CalicoctlContext, "io">, detected: string): boolean {
  const version = numbers(detected);
  if (version === undefined) {
    io.stderr("ERROR: The kernel version does not match expected semantic versioning.\n");
    return false;
  }
  if (isAtLeast(version, kernelLeast)) return true;
  io.stdout(
    `Minimum kernel version to run Calico is ${kernelLeast.join(".")}.\nDetected kernel version: ${detected}\n`,
  );
  return false;
}

async function checkKernelFeatures({ io }: CalicoctlContext): Promise<boolean> {
  const [{ LinuxHostNetwork }, { requireKernelFeatures }, { routeProtocol }] = await Promise.all([
    import("../../../kernel/host-network.ts"),
    import("../../../node/dataplane/kernel-features.ts"),
    import("../../../node/dataplane/chain-names.ts"),
  ]);
  try {
    using network = LinuxHostNetwork.open({ routeProtocol, table: "margay-checksystem" });
    requireKernelFeatures(network);
    return true;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    io.stderr(`WARNING: Unable to detect what the packet filter needs: ${describeError(error)}\n`);
    return false;
  }
}

async function checkDocker({ io, host }: CalicoctlContext, libnetwork: boolean): Promise<boolean> {
  try {
    const { major, minor } = await (await host.docker()).version();
    if (!libnetwork || major > 1 || minor >= libnetworkLeast) return true;
    io.stderr("ERROR: Docker Version does not support Libnetwork.\n");
    return false;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const tooOld = error.code === "DOCKER_PROTOCOL";
    io.stderr(tooOld ? `ERROR: Docker server is too old: ${error.message}\n` : "ERROR: Docker daemon not running.\n");
    return false;
  }
}

async function checkStore({ io, storePlace }: CalicoctlContext): Promise<boolean> {
  const failures: string[] = [];
  let text: string | undefined;
  for (const endpoint of (await storePlace()).endpoints) {
    try {
      const response = await fetch(`${endpoint}/version`, { signal: AbortSignal.timeout(answerWithinMs) });
      text ??= await response.text();
    } catch (error) {
      const address = endpoint.replace(/^\w+:\/\//, "");
      failures.push(`ERROR: Could not connect to etcd at ${address}: ${describeError(error)}\n`);
    }
  }
  if (text === undefined) {
    for (const failure of failures) io.stderr(failure);
    return false;
  }
  const [found] = /\d+\.\d+\.\d+/.exec(text) ?? [];
  if (found === undefined) {
    const variables = "ETCD_SCHEME, ETCD_KEY_FILE, ETCD_CERT_FILE, and ETCD_CA_CERT_FILE";
    io.stderr(`ERROR: Unable to detect etcd version. If using etcd with SSL, set ${variables} environment variables\n`);
    return false;
  }
  if (isAtLeast(numbers(found) ?? [], etcdLeast)) return true;
  io.stderr(`ERROR: etcd must be at least version ${etcdLeast.join(".")} (Detected version: ${found})\n`);
  return false;
}

function numbers(text: string): readonly number[] | undefined {
  const [, major, minor, patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return major === undefined ? undefined : [major, minor, patch].map((part) => Number(part ?? 0));
}

function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (const [at, wanted] of least.entries()) {
    const part = version[at] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}
