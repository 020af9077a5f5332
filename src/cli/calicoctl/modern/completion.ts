/**
 * `calicoctl completion bash|zsh|fish`: a script for the shell, made from the table of commands and their help, so that it
 * knows what this calicoctl knows. Nothing is asked of any store while somebody types.
 */

import { type CalicoctlContext, type CommandTable, UsageError } from "../command.ts";
import { kindViews } from "./get-kinds.ts";
import { readWords } from "./words.ts";

export const completionUsage = `Usage:
  calicoctl completion bash|zsh|fish
`;

export const completionHelp = `Prints a script that completes commands, kinds and flags in the shell.

${completionUsage}
Examples:
  source <(calicoctl completion bash)
  calicoctl completion zsh > "\${fpath[1]}/_calicoctl"
  calicoctl completion fish > ~/.config/fish/completions/calicoctl.fish
`;

/** What may stand next, by the words that stand before; "" is the beginning. */
export interface Completions {
  readonly words: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

const globalFlags = ["--store", "--config", "--log-level", "--request-timeout", "--allow-version-mismatch", "--help"];
const takeKinds = ["get", "delete", "patch", "label"];

export async function completion({ io, commands }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { positionals } = readWords(args, {}, completionUsage);
  const [shell, ...more] = positionals;
  const script = shell !== undefined && Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script === undefined || more.length > 0) throw new UsageError(completionUsage);
  io.stdout(script(await completionsOf(commands)));
  return 0;
}

export async function completionsOf(commands: CommandTable): Promise<Completions> {
  const words = new Map<string, Set<string>>();
  const flags = new Map<string, readonly string[]>();
  for (const [name, entry] of Object.entries(commands)) {
    const parts = name.split(" ");
    for (const [at, word] of parts.entries()) {
      const before = parts.slice(0, at).join(" ");
      words.set(before, (words.get(before) ?? new Set()).add(word));
    }
    const { help } = await entry.load();
    const own = [...help.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag);
    flags.set(name, [...new Set([...own, ...globalFlags])].sort());
  }
  const kinds = kindViews.map(({ aliases }) => aliases[0] ?? "");
  for (const command of takeKinds) words.set(command, new Set(kinds));
  words.set("completion", new Set(Object.keys(scripts)));
  return { words: new Map([...words].map(([before, next]) => [before, [...next].sort()])), flags };
}

/** The most words first: "datastore migrate" before "datastore". */
function byWords<Value>(map: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] {
  return [...map].sort(([a], [b]) => b.split(" ").length - a.split(" ").length || (a < b ? -1 : 1));
}

const scripts: Readonly<Record<string, (completions: Completions) => string>> = {
  bash: (completions) => `# bash completion of calicoctl: source <(calicoctl completion bash)
${bashFunction(completions)}complete -F _calicoctl calicoctl
`,
  zsh: (completions) => `#compdef calicoctl
# zsh completion of calicoctl, by way of bash's
autoload -U +X bashcompinit && bashcompinit
${bashFunction(completions)}complete -F _calicoctl calicoctl
`,
  fish: fishScript,
};

function bashFunction({ words, flags }: Completions): string {
  const next = byWords(words).map(
    ([before, candidates]) => `    "${before}") candidates="${candidates.join(" ")}" ;;\n`,
  );
  const ownFlags = byWords(flags).map(
    ([name, candidates]) => `      "${name}"|"${name} "*) candidates="${candidates.join(" ")}" ;;\n`,
  );
  return `_calicoctl() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="" word at candidates=""
  for ((at = 1; at < COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    [[ "$word" == -* ]] || before="\${before:+$before }$word"
  done
  if [[ "$current" == -* ]]; then
    case "$before" in
${ownFlags.join("")}      *) candidates="${globalFlags.join(" ")}" ;;
    esac
  else
    case "$before" in
${next.join("")}    esac
  fi
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
`;
}

function fishScript({ words, flags }: Completions): string {
  const seen = (name: string) =>
    name === ""
      ? "__fish_use_subcommand"
      : name
          .split(" ")
          .map((word) => `__fish_seen_subcommand_from ${word}`)
          .join("; and ");
  const lines = [
    ...byWords(words).map(([before, next]) => {
      const already = before === "" ? "" : `; and not __fish_seen_subcommand_from ${next.join(" ")}`;
      return `complete -c calicoctl -f -n '${seen(before)}${already}' -a '${next.join(" ")}'`;
    }),
    ...byWords(flags).flatMap(([name, own]) =>
      own.map((flag) => `complete -c calicoctl -f -n '${seen(name)}' -l ${flag.slice(2)}`),
    ),
  ];
  return `# fish completion of calicoctl\n${lines.join("\n")}\n`;
}
