/** What each calicoctl command gets and how it says that it cannot go on. */

import type { Clock } from "../../base/clock.ts";
import type { RoleIo } from "../../base/role.ts";
import type { Store } from "../../store/store.ts";
import type { ThisHost } from "./this-host.ts";

export interface CalicoctlContext {
  readonly io: RoleIo;
  readonly clock: Clock;
  /** All there are, for commands about commands. */
  readonly commands: CommandTable;
  /** Opens the store on first use; commands that need none never ask for it. */
  store(): Promise<Store>;
  /** Where the store is, for what does not ask it through `store`. @throws BadInput */
  storePlace(): Promise<StorePlace>;
  /** From now on the command itself ends when the user interrupts it. */
  handlesInterrupt(): void;
  readonly host: ThisHost;
}

export interface StorePlace {
  readonly endpoints: readonly string[];
  /** "flag": --store or --etcd of this command; "settings": environment or file, which other programs of this host find too. */
  readonly from: "flag" | "settings" | "nobody";
}

/** Answers the exit code. */
export interface Command {
  (context: CalicoctlContext, args: readonly string[]): Promise<number>;
  /** What has to be typed behind its name, of a command that has several forms: "add CONTAINER IP". */
  readonly forms?: readonly string[];
}

/** Which releases a command is from: that decides the stream and the exit code of its failures. */
export type CommandFamily = "seed" | "classic" | "modern";

export interface CommandEntry {
  readonly family: CommandFamily;
  /** Tells on standard error when the cluster is of another release (calicoctl.md 4.2). */
  readonly comparesVersions?: boolean;
  /** Several families have the word: whether these arguments are of this one. Absent: all are that nobody else takes. */
  readonly takes?: (args: readonly string[], given: { readonly etcd: boolean }) => boolean;
  /** Code and help are loaded when the command is called: `calicoctl version` does not pay for the others. */
  readonly load: () => Promise<{ readonly run: Command; readonly help: string }>;
}

/** By the words that call it, one to three of them: "get", "ipam show". The entry with the most words that fit is taken. */
export type CommandTable = Readonly<Record<string, CommandEntry>>;

/** The words do not fit: the usage goes to standard error, exit code 1. */
export class UsageError extends Error {
  readonly usage: string;

  constructor(usage: string) {
    super("the arguments do not match the usage");
    this.usage = usage;
  }
}

/** One message and an exit code: classic commands print it on standard output, modern ones on standard error. */
export class CommandFailure extends Error {
  readonly stream: "stdout" | "stderr";
  readonly exitCode: number;

  constructor(stream: "stdout" | "stderr", message: string, exitCode = 1) {
    super(message);
    this.stream = stream;
    this.exitCode = exitCode;
  }
}

/** Wrapped at 80 columns and followed by an empty line, as classic calicoctl prints longer messages. */
export function paragraph(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const part of text.split(/(?<=\s)(?=\S)/)) {
    if ((line + part).trimEnd().length > 80 && line !== "") {
      lines.push(line.trimEnd());
      line = "";
    }
    line += part;
  }
  return `${[...lines, line.trimEnd()].join("\n")}\n\n`;
}
