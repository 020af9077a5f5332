/** Flags of all commands, wherever they stand among the words, and what they may say. Light: every command loads it. */

import { CommandFailure } from "./command.ts";

export interface GlobalFlags {
  readonly store: string | undefined;
  /** The option of the first releases that says where the store is. */
  readonly etcd: string | undefined;
  readonly config: string | undefined;
  readonly logLevel: string | undefined;
  readonly requestTimeout: string | undefined;
  readonly allowVersionMismatch: boolean;
  /** Of Kubernetes: means nothing to an etcd datastore. */
  readonly context: string | undefined;
  /** -c, -l or --context was written: only the modern commands have them. */
  readonly modernOnly: boolean;
}

type ValueFlag = "store" | "etcd" | "config" | "logLevel" | "requestTimeout" | "context";

const flagsWithValue: Readonly<Record<string, ValueFlag>> = {
  "--store": "store",
  "--etcd": "etcd",
  "-c": "config",
  "--config": "config",
  "-l": "logLevel",
  "--log-level": "logLevel",
  "--request-timeout": "requestTimeout",
  "--context": "context",
};

/** Without flags in the answer: what is wrong with them. */
export function readGlobalFlags(argv: readonly string[]): {
  flags: GlobalFlags | undefined;
  words: readonly string[];
} {
  const values: Partial<Record<ValueFlag, string>> = {};
  const words: string[] = [];
  let [modernOnly, allowVersionMismatch] = [false, false];
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
    modernOnly ||= !flag.startsWith("--") || meaning === "context";
    values[meaning] = value;
  }
  const { store, etcd, config, logLevel, requestTimeout, context } = values;
  return { flags: { store, etcd, config, logLevel, requestTimeout, context, allowVersionMismatch, modernOnly }, words };
}

/** How long a command waits for a store that does not answer. */
const requestTimeoutDefaultMs = 10_000;
const logLevels = ["panic", "fatal", "error", "warn", "info", "debug"];

/** @throws CommandFailure for a flag that means nothing */
export function checkGlobalFlags({ logLevel, requestTimeout }: GlobalFlags): void {
  if (logLevel !== undefined && !logLevels.includes(logLevel)) {
    throw new CommandFailure("stderr", `unknown log level: ${logLevel}, expected one of: ${logLevels.join(", ")}\n`);
  }
  requestTimeoutMs(requestTimeout);
}

/** @throws CommandFailure */
export function requestTimeoutMs(text: string | undefined): number {
  if (text === undefined) return requestTimeoutDefaultMs;
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? Number.NaN);
  if (ms > 0) return ms;
  throw new CommandFailure("stderr", `invalid --request-timeout: ${text}: a time such as 10s is expected\n`);
}
