/**
 * Network namespaces for tests: made under a name of their own, entered by the test's thread, gone afterwards with
 * whatever runs in them. Fails loudly without root: a system test that cannot run is a failed test.
 */
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { type InterfaceName, parseInterfaceName } from "../../base/names.ts";
import { NetworkNamespace } from "../namespaces.ts";

let counter = 0;

export class TestNamespace implements Disposable {
  readonly name: string;
  readonly path: string;
  readonly namespace: NetworkNamespace;
  readonly #inside: Disposable | undefined;
  readonly #children = new Set<ReturnType<typeof Bun.spawn>>();

  /** @param options.enter the thread is inside until disposal: one such namespace at a time, disposed last. */
  constructor(part: string, options: { enter?: boolean } = {}) {
    if (process.getuid?.() !== 0) throw new Error("system tests of the network need root");
    sweepLeftovers();
    this.name = `mgtest-${part}-${process.pid}-${counter++}`;
    this.path = `/run/netns/${this.name}`;
    runOrThrow(["ip", "netns", "add", this.name]);
    this.namespace = NetworkNamespace.open(this.path);
    runOrThrow(["nsenter", `--net=${this.path}`, "ip", "link", "set", "lo", "up"]);
    if (options.enter === true) this.#inside = this.namespace.enter();
  }

  /** Runs a program inside to its end. */
  run(words: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}): ProgramResult {
    const result = Bun.spawnSync(["nsenter", `--net=${this.path}`, ...words], {
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      timeout: options.timeoutMs ?? 10_000,
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
  }

  /** As run(), and throws unless the program ends with 0. Answers its output. */
  must(...words: readonly string[]): string {
    const result = this.run(words);
    if (result.exitCode !== 0) throw new Error(`${words.join(" ")}: ${result.exitCode} ${result.stderr}`);
    return result.stdout;
  }

  /** Starts a program inside; it is killed with the namespace. */
  start(...words: readonly string[]): ReturnType<typeof Bun.spawn> {
    const child = Bun.spawn(["nsenter", `--net=${this.path}`, ...words], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#children.add(child);
    return child;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill("SIGKILL");
    this.#inside?.[Symbol.dispose]();
    this.namespace[Symbol.dispose]();
    for (const pid of processesIn(this.path)) process.kill(pid, "SIGKILL");
    runOrThrow(["ip", "netns", "delete", this.name]);
  }
}

export interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits for a condition, never for a time. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 5_000,
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(10);
  }
}

export function interfaceNamed(text: string): InterfaceName {
  return parseInterfaceName(text);
}

let swept = false;

/** Namespaces of test processes that were killed. */
function sweepLeftovers(): void {
  if (swept || !existsSync("/run/netns")) return;
  swept = true;
  for (const name of readdirSync("/run/netns")) {
    const owner = /^mgtest-.*-(\d+)-\d+$/.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) runOrThrow(["ip", "netns", "delete", name]);
  }
}

function runOrThrow(words: string[]): void {
  const result = Bun.spawnSync(words);
  if (result.exitCode !== 0) throw new Error(`${words.join(" ")}: ${result.stderr.toString()}`);
}

function processesIn(path: string): number[] {
  const probe = Bun.spawnSync(["nsenter", `--net=${path}`, "readlink", "/proc/self/ns/net"]);
  const inode = probe.stdout.toString().trim();
  if (probe.exitCode !== 0 || inode === "") return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === inode;
      } catch {
        return false; // ended meanwhile
      }
    });
}
