/**
 * `calicoctl`: Calico's command line, classic and modern words in one program. Picks the command by its first words and
 * turns what went wrong into the stream, text and exit code that family of commands has always used.
 */

import { type Clock, systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import type { Role, RoleIo } from "../base/role.ts";
import type { Store } from "../store/store.ts";
import { classicCommands } from "./calicoctl/classic/commands.ts";
import {
  type CalicoctlContext,
  CommandFailure,
  type CommandFamily,
  type CommandTable,
  paragraph,
  UsageError,
} from "./calicoctl/command.ts";
import { checkGlobalFlags, type GlobalFlags } from "./calicoctl/global-flags.ts";
import { modernCommands } from "./calicoctl/modern/commands.ts";
import type { OpenStore } from "./calicoctl/open-store.ts";

const commands: CommandTable = { ...classicCommands, ...modernCommands };

/** Words of the classic, modern and seed releases that will be answered later. */
const notBuiltYet: ReadonlySet<string> = new Set(
  "status node container endpoint pool bgp ipam checksystem diags config patch label validate convert datastore cluster reset master group ipv4 ipv6 launch run ps".split(
    " ",
  ),
);

const help = `calicoctl: networks, profiles and addresses of Margay, in the words of Calico's calicoctl

Usage: calicoctl [--store=URL[,URL...]] [-c FILE] COMMAND [ARGUMENTS]

Commands:
  profile     show, add and remove profiles, their rules and tags
  get         show resources: calicoctl get workloadendpoints --all-namespaces
  create, apply, replace, delete
              write resources: calicoctl apply -f policy.yaml
  ipam show   how much of the address pools is used, by whom an address is held
  version     of this program and of the cluster

"calicoctl COMMAND --help" tells more. The store is found by --store, else ETCD_ENDPOINTS or ETCD_AUTHORITY (each first
with the prefix CALICO_), else /etc/calico/calicoctl.cfg, else http://127.0.0.1:2379.
`;

export const role: Role = { summary: "Calico's command line", run: (argv, io) => runCalicoctl(argv, io) };

export interface CalicoctlOptions {
  readonly clock?: Clock;
  readonly openStore?: OpenStore;
}

export async function runCalicoctl(
  argv: readonly string[],
  io: RoleIo,
  options: CalicoctlOptions = {},
): Promise<number> {
  const { flags, words } = readGlobalFlags(argv);
  const [first, _second] = words;
  if (flags === undefined) return usageFailure(io, `${words.join(" ")}\n\n${help}`);
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    io.stdout(help);
    return 0;
  }
  const name = [3, 2, 1].map((count) => words.slice(0, count).join(" ")).find((name) => Object.hasOwn(commands, name));
  const entry = name === undefined ? undefined : commands[name];
  if (name === undefined || entry === undefined) {
    const built = Object.keys(commands).join(", ");
    const what = notBuiltYet.has(first)
      ? `"${words.slice(0, 2).join(" ")}" is not built yet`
      : `unknown command "${first}"`;
    return usageFailure(io, `calicoctl: ${what}; there are: ${built}\n`);
  }
  const args = words.slice(name.split(" ").length);
  const { run, help: commandHelp } = await entry.load();
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout(commandHelp);
    return 0;
  }
  const clock = options.clock ?? systemClock;
  let opened: Promise<Store> | undefined;
  let comparing: Promise<void> | undefined;
  const context: CalicoctlContext = {
    io,
    clock,
    commands,
    store: async () => {
      if (opened !== undefined) return opened;
      opened = import("./calicoctl/open-store.ts").then(({ openStore }) =>
        openStore(flags, { io, clock }, options.openStore),
      );
      const store = await opened;
      // Beside the command's own work: a store that does not answer is waited for once.
      if (entry.comparesVersions === true && !flags.allowVersionMismatch) comparing = compareVersions(store, io);
      return store;
    },
  };
  try {
    checkGlobalFlags(flags);
    return await run(context, args);
  } catch (error) {
    const code = sayWhy(error, io, entry.family, words);
    if (entry.family === "modern" && isUnavailable(error)) {
      const { storeAdvice } = await import("./calicoctl/open-store.ts");
      io.stderr(storeAdvice(flags, io));
    }
    return code;
  } finally {
    await comparing;
    if (opened !== undefined) await (await opened.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}

async function compareVersions(store: Store, io: RoleIo): Promise<void> {
  const { warnOfVersionMismatch } = await import("./calicoctl/version-mismatch.ts");
  await warnOfVersionMismatch(store, io.stderr);
}

function sayWhy(error: unknown, io: RoleIo, family: CommandFamily, words: readonly string[]): number {
  if (error instanceof UsageError) return usageFailure(io, error.usage);
  if (error instanceof CommandFailure) {
    io[error.stream](error.message);
    return 1;
  }
  if (isUnavailable(error)) {
    const problem = `Error accessing etcd (${describeError(error)}).  Is etcd running?`;
    if (family === "classic") io.stdout(paragraph(`${words[0]}: ${problem}`));
    else io.stderr(`${problem}\n`);
    return 1;
  }
  if (error instanceof BadInput || error instanceof OperationError) {
    io[family === "classic" ? "stdout" : "stderr"](`${describeError(error)}\n`);
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

type ValueFlag = "store" | "config" | "logLevel" | "requestTimeout" | "ignored";

const flagsWithValue: Readonly<Record<string, ValueFlag>> = {
  "--store": "store",
  "-c": "config",
  "--config": "config",
  "-l": "logLevel",
  "--log-level": "logLevel",
  "--request-timeout": "requestTimeout",
  "--context": "ignored",
};

/** Flags of all commands, wherever they stand; without flags in the answer: what is wrong with them. */
function readGlobalFlags(argv: readonly string[]): { flags: GlobalFlags | undefined; words: readonly string[] } {
  const values: Partial<Record<ValueFlag, string>> = {};
  let allowVersionMismatch = false;
  const words: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      words.push(...argv.slice(at));
      break;
    }
    const [flag = "", ...rest] = word.split("=");
    const meaning = Object.hasOwn(flagsWithValue, flag) ? flagsWithValue[flag] : undefined;
    if (word === "--allow-version-mismatch") {
      allowVersionMismatch = true;
      continue;
    }
    if (meaning === undefined) {
      words.push(word);
      continue;
    }
    const value = rest.length > 0 ? rest.join("=") : argv[++at];
    if (value === undefined) return { flags: undefined, words: [`calicoctl: ${flag} needs a value`] };
    values[meaning] = value;
  }
  const { store, config, logLevel, requestTimeout } = values;
  return { flags: { store, config, logLevel, requestTimeout, allowVersionMismatch }, words };
}
