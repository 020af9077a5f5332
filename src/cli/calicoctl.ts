/**
 * `calicoctl`: Calico's command line, seed, classic and modern words in one program. Picks the command by its first words
 * and turns what went wrong into the stream, text and exit code that family of commands has always used.
 */

import { type Clock, systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import type { Role, RoleIo } from "../base/role.ts";
import type { Store } from "../store/store.ts";
import {
  type CalicoctlContext,
  type CommandEntry,
  CommandFailure,
  type CommandFamily,
  paragraph,
  UsageError,
} from "./calicoctl/command.ts";
import { checkGlobalFlags, type GlobalFlags, readGlobalFlags } from "./calicoctl/global-flags.ts";
import type { OpenStore } from "./calicoctl/open-store.ts";
import { allCommands, pickCommand } from "./calicoctl/pick-command.ts";
import { type ThisHost, thisHost } from "./calicoctl/this-host.ts";

const help = `calicoctl: networks, profiles and addresses of Margay, in the words of Calico's calicoctl

Usage: calicoctl [--store=URL[,URL...]] [-c FILE] COMMAND [ARGUMENTS]

Hosts:
  node        start, stop and show the node of this host, and its BGP peers
  status      whether the node of this host runs, and its BGP sessions
  checksystem whether this host can run a node
  diags       collect what is needed to find a fault, in one archive
  cluster     collect the same for all hosts
  version     of this program and of the cluster
  completion  of commands in the shell

Resources, from files or by name:
  get         show resources: calicoctl get workloadendpoints --all-namespaces
  create, apply, replace, delete, patch, label
              write resources: calicoctl apply -f policy.yaml
  validate, diff, convert
              check files, compare them with what is stored, bring old ones up to date
  datastore   lock the datastore, copy it into a file and back

Containers and who may talk to whom, in the words of the classic releases:
  container   give a container that runs an interface, an address and profiles
  profile     show, add and remove profiles, their rules and tags
  endpoint    show endpoints and change their profiles
  addgroup, addtogroup, showgroups, removegroup
              groups of containers, as the first release had them
  master      start what the first release called the master

Addresses and routes:
  pool        show, add and remove address pools
  ipam        how much of the pools is used, by whom an address is held; release one
  bgp         peers of every host, the mesh of hosts, the AS number
  config      log levels
  reset       remove what calicoctl has started and made on this host

"calicoctl COMMAND --help" tells more, with examples. The store is found by --store or --etcd, else ETCD_ENDPOINTS or
ETCD_AUTHORITY (each first with the prefix CALICO_), else /etc/calico/calicoctl.cfg, else http://127.0.0.1:2379.
`;

export const role: Role = { summary: "Calico's command line", run: (argv, io) => runCalicoctl(argv, io) };

/** With the datastore type etcdv3 the original reads it and does nothing with it. */
const contextWarning = "WARNING: --context names a Kubernetes context; the datastore is etcd, where it has no effect\n";

export interface CalicoctlOptions {
  readonly clock?: Clock;
  readonly openStore?: OpenStore;
  /** For tests: another host. */
  readonly host?: ThisHost;
}

export async function runCalicoctl(
  argv: readonly string[],
  io: RoleIo,
  options: CalicoctlOptions = {},
): Promise<number> {
  const { flags, words } = readGlobalFlags(argv);
  const [first] = words;
  if (flags === undefined) return usageFailure(io, `${words.join(" ")}\n\n${help}`);
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    io.stdout(help);
    return 0;
  }
  const picked = pickCommand(words, { etcd: flags.etcd !== undefined });
  if (picked.kind === "unknown") {
    const nearest = picked.nearest === undefined ? "" : `; did you mean "${picked.nearest}"?`;
    return usageFailure(io, `calicoctl: unknown command "${picked.typed}"${nearest}\nSee: calicoctl --help\n`);
  }
  if (picked.kind === "help") {
    const helps = await Promise.all(picked.entries.map(async (entry) => (await entry.load()).help));
    io.stdout([...new Set(helps)].join("\n"));
    return 0;
  }
  return await call(picked.entry, picked.args, { words, flags, io, options });
}

interface Call {
  readonly words: readonly string[];
  readonly flags: GlobalFlags;
  readonly io: RoleIo;
  readonly options: CalicoctlOptions;
}

async function call(
  entry: CommandEntry,
  args: readonly string[],
  { words, flags, io, options }: Call,
): Promise<number> {
  const clock = options.clock ?? systemClock;
  let opened: Promise<Store> | undefined;
  let comparing: Promise<void> | undefined;
  let handlesInterrupt = false;
  const context: CalicoctlContext = {
    io,
    clock,
    commands: allCommands,
    store: async () => {
      if (opened !== undefined) return opened;
      opened = import("./calicoctl/open-store.ts").then(({ openStore }) =>
        openStore(flags, { io, clock, family: entry.family }, options.openStore),
      );
      const store = await opened;
      // Beside the command's own work: a store that does not answer is waited for once.
      if (entry.comparesVersions === true && !flags.allowVersionMismatch) comparing = compareVersions(store, io);
      return store;
    },
    storePlace: async () => (await import("./calicoctl/open-store.ts")).storePlace(flags, io),
    handlesInterrupt: () => {
      handlesInterrupt = true;
    },
    host: options.host ?? thisHost(io.env, clock),
  };
  try {
    checkGlobalFlags(flags);
    const { run, help: commandHelp } = await entry.load();
    if (flags.modernOnly && entry.family !== "modern") return usageFailure(io, commandHelp);
    if (flags.context !== undefined) io.stderr(contextWarning);
    const done = run(context, args);
    const interrupted = untilAborted(io.signal).then(() => (handlesInterrupt ? done : interruptedBy(entry.family, io)));
    return await Promise.race([done, interrupted]);
  } catch (error) {
    const code = sayWhy(error, io, entry.family, words);
    if (entry.family === "modern" && isUnavailable(error)) {
      const { storeAdvice } = await import("./calicoctl/open-store.ts");
      io.stderr(storeAdvice(flags, io));
    }
    return code;
  } finally {
    // After an interrupt the connection ends with the process: it may be what was waited for.
    if (!io.signal.aborted) {
      await comparing;
      await (await opened?.catch(() => undefined))?.[Symbol.asyncDispose]();
    }
  }
}

async function compareVersions(store: Store, io: RoleIo): Promise<void> {
  const { warnOfVersionMismatch } = await import("./calicoctl/version-mismatch.ts");
  await warnOfVersionMismatch(store, io.stderr);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** What was being waited for ends with the process. */
function interruptedBy(family: CommandFamily, io: RoleIo): number {
  if (family === "modern") return 130;
  io.stdout("Aborted command.\n");
  return 0;
}

function sayWhy(error: unknown, io: RoleIo, family: CommandFamily, words: readonly string[]): number {
  if (error instanceof UsageError) return usageFailure(io, error.usage);
  if (error instanceof CommandFailure) {
    io[error.stream](error.message);
    return error.exitCode;
  }
  const stream = family === "modern" ? "stderr" : "stdout";
  if (isUnavailable(error)) {
    const problem = `Error accessing etcd (${describeError(error)}).  Is etcd running?`;
    io[stream](family === "modern" ? `${problem}\n` : paragraph(`${words[0]}: ${problem}`));
    return 1;
  }
  if (error instanceof BadInput || error instanceof OperationError) {
    io[stream](`${describeError(error)}\n`);
    if (error instanceof OperationError && error.remedy !== undefined) io.stderr(`  ${error.remedy}\n`);
    return 1;
  }
  throw error;
}

function isUnavailable(error: unknown): boolean {
  return error instanceof OperationError && error.code === "STORE_UNAVAILABLE";
}

function usageFailure(io: RoleIo, text: string): number {
  io.stderr(text);
  return 1;
}
