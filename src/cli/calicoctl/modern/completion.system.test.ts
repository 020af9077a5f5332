/**
 * Completion in the real shells, inside the completion system of each: bash and zsh on a terminal of their own with the tab
 * key pressed (the terminal is zsh's zpty), fish by its `complete -C`.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "calicoctl-completion-"));
const main = join(import.meta.dir, "../../../main.ts");
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  mkdirSync(join(folder, "functions"));
  for (const [shell, file] of [
    ["bash", "calicoctl.bash"],
    ["zsh", "functions/_calicoctl"],
    ["fish", "calicoctl.fish"],
  ] as const) {
    const { stdout, exitCode } = Bun.spawnSync([process.execPath, main, "calicoctl", "completion", shell]);
    expect([shell, exitCode]).toEqual([shell, 0]);
    writeFileSync(join(folder, file), stdout);
  }
  // The command itself says what it was called with.
  const echo = 'calicoctl() { printf "CALLED:"; printf "<%s>" "$@"; echo; }\n';
  writeFileSync(join(folder, ".zshrc"), `fpath=(${folder}/functions $fpath)\n${zshBasics}${echo}`);
  writeFileSync(join(folder, "bashrc"), `source ${folder}/calicoctl.bash\n${bashBasics}${echo}`);
});

const bashBasics = "PS1='READY> '\nbind 'set show-all-if-ambiguous on'\nbind 'set enable-bracketed-paste off'\n";
const zshBasics = `autoload -Uz compinit && compinit -u -d ${folder}/dump\nPS1='READY> '\nunsetopt zle_bracketed_paste\nLISTMAX=1000\n`;

/** What is typed before the tab key, and what comes of it. */
const single: readonly (readonly [typed: string, called: string])[] = [
  ["ipa", "<ipam>"],
  ["ipam con", "<ipam><configure>"],
  ["datastore migrate e", "<datastore><migrate><export>"],
  ["--store http://10.0.0.1:2379 get globalnetworkp", "<--store><http://10.0.0.1:2379><get><globalnetworkpolicy>"],
  ["--store=http://10.0.0.1:2379 get globalnetworkp", "<--store=http://10.0.0.1:2379><get><globalnetworkpolicy>"],
  ["delete tie", "<delete><tier>"],
  ["get pool --exp", "<get><pool><--export>"],
  ["--allow", "<--allow-version-mismatch>"],
  ["completion z", "<completion><zsh>"],
  ["node bgp pe", "<node><bgp><peer>"],
  ["bgp node-mesh of", "<bgp><node-mesh><off>"],
  ["addto", "<addtogroup>"],
  ["profile add --sto", "<profile><add><--store>"],
  // Nothing is known of these: the line stays as it was typed.
  ["nosuch x", "<nosuch><x>"],
  ["get -l deb", "<get><-l><deb>"],
];
const several: readonly (readonly [typed: string, next: readonly string[]])[] = [
  ["ipam s", ["show", "split"]],
  ["ipam show --show-b", ["--show-blocks", "--show-borrowed"]],
  ["create --ski", ["--skip-empty", "--skip-exists"]],
  ["pool r", ["range", "remove"]],
];

/** Types into an interactive shell on a terminal; answers what the screen got from then until it shows a text. */
function typeInto(shell: string, keys: string, until: string): string {
  const driver = `
    zmodload zsh/zpty
    zpty -b shell ${shell}
    await() {
      local got="" part
      for attempt in {1..400}; do
        if zpty -r -t shell part; then got+="$part"; else sleep 0.02; fi
        if [[ "$got" == *"$1"* ]]; then print -rn -- "$got"; return 0; fi
      done
      print -rn -- "$got"; return 1
    }
    await "READY> " >/dev/null || exit 7
    zpty -w -n shell "$KEYS"
    await "$UNTIL"
  `;
  const { stdout } = Bun.spawnSync(["zsh", "-f", "-c", driver], {
    env: { PATH: process.env.PATH, HOME: folder, ZDOTDIR: folder, TERM: "dumb", KEYS: keys, UNTIL: until },
    timeout: 30_000,
  });
  return stdout.toString().replaceAll("\r", "");
}

const shells = { bash: `bash --noprofile --rcfile ${folder}/bashrc -i`, zsh: "zsh -d -i" } as const;

for (const shell of ["bash", "zsh"] as const) {
  describe(`${shell}, on a terminal`, () => {
    for (const [typed, called] of single) {
      test(`calicoctl ${typed}<tab>`, () => {
        expect(typeInto(shells[shell], `calicoctl ${typed}\t\n`, `CALLED:${called}`)).toContain(`CALLED:${called}\n`);
      });
    }
    for (const [typed, next] of several) {
      test(`calicoctl ${typed}<tab> shows ${next.join(" and ")}`, () => {
        const screen = typeInto(shells[shell], `calicoctl ${typed}\t\t`, next.at(-1) ?? "");
        for (const word of next) expect(screen).toContain(word);
      });
    }
  });
}

describe("fish", () => {
  const complete = (typed: string) => {
    const script = `source ${folder}/calicoctl.fish; complete -C 'calicoctl ${typed}'`;
    const { stdout, stderr, exitCode } = Bun.spawnSync(["fish", "--no-config", "-c", script], {
      env: { PATH: process.env.PATH, HOME: folder },
    });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    return stdout
      .toString()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t")[0]);
  };
  for (const [typed, called] of single) {
    test(`calicoctl ${typed}`, () => {
      const words = [...called.matchAll(/<([^>]*)>/g)].map(([, word]) => word);
      const last = words.at(-1);
      expect(complete(typed)).toEqual(last === typed.split(" ").at(-1) ? [] : [last]);
    });
  }
  for (const [typed, next] of several) {
    test(`calicoctl ${typed}`, () => expect(complete(typed)).toEqual([...next]));
  }
});
