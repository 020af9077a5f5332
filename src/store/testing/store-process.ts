/**
 * Real store processes for system tests: `margay store` and etcd, each with a directory of its own, on free ports of
 * loopback, gone with everything when disposed. A process may be killed and started again on the same port and data.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const readyTimeoutMs = 20_000;
const pollEveryMs = 20;
const mainFile = join(import.meta.dir, "../../main.ts");

export class StoreProcess implements AsyncDisposable {
  readonly endpoint: string;
  readonly #directory: string;
  readonly #command: readonly string[];
  #process: Bun.Subprocess | undefined;

  static async startMargay(flags: readonly string[] = []): Promise<StoreProcess> {
    const directory = mkdtempSync(join(tmpdir(), "margay-store-"));
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const command = [process.execPath, mainFile, "store", `--listen=${endpoint}`, `--data-dir=${directory}`, ...flags];
    return StoreProcess.#started(new StoreProcess(endpoint, directory, command));
  }

  static async startEtcd(): Promise<StoreProcess> {
    const directory = mkdtempSync(join(tmpdir(), "margay-etcd-"));
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const command = [
      "etcd",
      `--data-dir=${directory}/data`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ];
    return StoreProcess.#started(new StoreProcess(endpoint, directory, command));
  }

  static async #started(process: StoreProcess): Promise<StoreProcess> {
    try {
      await process.start();
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
    return process;
  }

  private constructor(endpoint: string, directory: string, command: readonly string[]) {
    this.endpoint = endpoint;
    this.#directory = directory;
    this.#command = command;
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error("the store is not running");
    return this.#process.pid;
  }

  get dataDirectory(): string {
    return this.#directory;
  }

  /** Starts it and waits until it is healthy. */
  async start(): Promise<void> {
    const log = Bun.file(join(this.#directory, "log"));
    this.#process = Bun.spawn([...this.#command], { stdin: "ignore", stdout: "ignore", stderr: log });
    const timeout = AbortSignal.timeout(readyTimeoutMs);
    while (!(await this.#healthy())) {
      if (this.#process.exitCode !== null || timeout.aborted) {
        throw new Error(`${this.#command.join(" ")} did not become healthy: ${await log.text()}`);
      }
      await Bun.sleep(pollEveryMs);
    }
  }

  /** As a crash would; resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    this.#process?.kill(signal);
    await this.#process?.exited;
    return this.#process?.exitCode ?? null;
  }

  async etcdctl(...words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return this.etcdctlWithInput("", ...words);
  }

  async etcdctlWithInput(
    input: string,
    ...words: readonly string[]
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = Bun.spawn(["etcdctl", `--endpoints=${this.endpoint}`, "--command-timeout=5s", ...words], {
      env: { ...process.env, ETCDCTL_API: "3" },
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #healthy(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.endpoint}/health`, { signal: AbortSignal.timeout(1_000) });
      return ((await answer.json()) as { health?: string }).health === "true";
    } catch {
      return false;
    }
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
