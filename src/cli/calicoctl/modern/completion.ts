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
/** The word behind one of them is its value. */
const flagsBeforeValue = ["--store", "--etcd", "--config", "-c", "--log-level", "-l", "--request-timeout", "--context"];
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
  const addPath = (parts: readonly string[]) => {
    for (const [at, word] of parts.entries()) {
      const before = parts.slice(0, at).join(" ");
      words.set(before, (words.get(before) ?? new Set()).add(word));
    }
  };
  for (const [name, entry] of Object.entries(commands)) {
    const { help, run } = await entry.load();
    for (const form of run.forms ?? [""]) for (const path of literalPaths(form)) addPath([...name.split(" "), ...path]);
    const own = [...help.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag);
    flags.set(name, [...new Set([...own, ...globalFlags])].sort());
  }
  const kinds = kindViews.map(({ aliases }) => aliases[0] ?? "");
  for (const command of takeKinds) words.set(command, new Set(kinds));
  words.set("completion", new Set(Object.keys(scripts)));
  return { words: new Map([...words].map(([before, next]) => [before, [...next].sort()])), flags };
}

/** The words of a form up to the first that is the user's own: "peer add PEER_IP" begins with "peer add". */
function literalPaths(form: string): readonly (readonly string[])[] {
  let paths: readonly (readonly string[])[] = [[]];
  for (const part of form.split(" ")) {
    if (!/^[a-z]/.test(part)) break;
    paths = paths.flatMap((path) => part.split("|").map((word) => [...path, word]));
  }
  return paths;
}

/** The most words first: "datastore migrate" before "datastore". */
function byWords<Value>(map: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] {
  return [...map].sort(([a], [b]) => b.split(" ").length - a.split(" ").length || (a < b ? -1 : 1));
}

const scripts: Readonly<Record<string, (completions: Completions) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** In bash and zsh: `before` and `current` are known, `candidates` is to be set. */
function posixChoice({ words, flags }: Completions): string {
  const choice = (pattern: string, candidates: readonly string[]) =>
    `      ${pattern}) candidates="${candidates.join(" ")}" ;;\n`;
  const flagChoices = byWords(flags).map(([name, own]) => choice(`"${name}"|"${name} "*`, own));
  const wordChoices = byWords(words).map(([before, next]) => choice(`"${before}"`, next));
  return `  if [[ "$current" == -* ]]; then
    case "$before" in
${flagChoices.join("")}${choice("*", globalFlags)}    esac
  else
    case "$before" in
${wordChoices.join("")}    esac
  fi
`;
}

/** In bash and zsh: one typed word more that `before` may hold. */
const posixWord = `    if [[ -n "$value" ]]; then value=""; continue; fi
    case "$word" in
      ${flagsBeforeValue.join("|")}) value=1 ;;
      -*) ;;
      *) before="\${before:+$before }$word" ;;
    esac
`;

/** Bash parts words at ":" and "=" as well, so that a URL would be several: the line is read anew. */
function bashScript(completions: Completions): string {
  return `# bash completion of calicoctl: source <(calicoctl completion bash)
_calicoctl() {
  local line="\${COMP_LINE:0:COMP_POINT}" current="" before="" word value="" candidates=""
  local -a typed
  read -ra typed <<< "$line"
  if [[ "$line" != *[[:space:]] ]]; then
    current="\${typed[-1]}"
    unset 'typed[-1]'
  fi
  for word in "\${typed[@]:1}"; do
${posixWord}  done
  if [[ -n "$value" ]]; then COMPREPLY=(); return; fi
${posixChoice(completions)}  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -F _calicoctl calicoctl
`;
}

/** As a file of a folder of $fpath the whole is the function's body when it is called first; else it is read by source. */
function zshScript(completions: Completions): string {
  return `#compdef calicoctl
# zsh completion of calicoctl
_calicoctl() {
  local current="\${words[CURRENT]}" before="" word value="" candidates=""
  for word in "\${(@)words[2,CURRENT-1]}"; do
${posixWord}  done
  if [[ -n "$value" ]]; then return 1; fi
${posixChoice(completions)}  compadd -- \${=candidates}
}
if [[ "\${funcstack[1]}" == _calicoctl ]]; then
  _calicoctl "$@"
else
  compdef _calicoctl calicoctl
fi
`;
}

function fishScript({ words, flags }: Completions): string {
  const choice = (patterns: string, candidates: readonly string[]) =>
    `            case ${patterns}\n                printf '%s\\n' ${candidates.join(" ")}\n`;
  const flagChoices = byWords(flags).map(([name, own]) => choice(`'${name}' '${name} *'`, own));
  const wordChoices = byWords(words).map(([before, next]) => choice(`'${before}'`, next));
  return `# fish completion of calicoctl
function __calicoctl_candidates
    set -l before
    set -l value
    set -l typed (commandline -opc)
    set -e typed[1]
    for word in $typed
        if test -n "$value"
            set value
            continue
        end
        switch $word
            case ${flagsBeforeValue.join(" ")}
                set value 1
            case '-*'
            case '*'
                set -a before $word
        end
    end
    if test -n "$value"
        return
    end
    if string match -q -- '-*' (commandline -ct)
        switch "$before"
${flagChoices.join("")}${choice("'*'", globalFlags)}        end
    else
        switch "$before"
${wordChoices.join("")}        end
    end
end
complete -c calicoctl -f -a '(__calicoctl_candidates)'
`;
}
