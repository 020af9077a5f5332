/**
 * Real store processes for system tests: `margay store` and etcd, each with a directory of its own, on free ports of
 * loopback, gone with everything when disposed. A process may be killed and started again on the same port and data.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const readyTimeoutMs = 20_000;
const pollEveryMs = 20;
const mainFile = join(import.meta.dir, "../../main.ts");

export interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export class StoreProcess implements AsyncDisposable {
  readonly endpoint: string;
  readonly #directory: string;
  readonly #command: readonly string[];
  readonly #files: CertificateFiles | undefined;
  #process: Bun.Subprocess | undefined;

  static async startMargay(flags: readonly string[] = [], address = "127.0.0.1"): Promise<StoreProcess> {
    const directory = mkdtempSync(join(tmpdir(), "margay-store-"));
    const endpoint = `http://${address}:${await freePort()}`;
    const command = [process.execPath, mainFile, "store", `--listen=${endpoint}`, `--data-dir=${directory}`, ...flags];
    return StoreProcess.#started(new StoreProcess(endpoint, directory, command));
  }

  /** With certificates: reached by TLS, and only by those who show one of the same authority. */
  static async startEtcd(files?: CertificateFiles): Promise<StoreProcess> {
    const directory = mkdtempSync(join(tmpdir(), "margay-etcd-"));
    const endpoint = `${files === undefined ? "http" : "https"}://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const command = [
      "etcd",
      `--data-dir=${directory}/data`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      ...(files === undefined
        ? []
        : [
            `--cert-file=${files.cert}`,
            `--key-file=${files.key}`,
            `--trusted-ca-file=${files.ca}`,
            "--client-cert-auth",
          ]),
    ];
    return StoreProcess.#started(new StoreProcess(endpoint, directory, command, files));
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

  private constructor(
    endpoint: string,
    directory: string,
    command: readonly string[],
    files: CertificateFiles | undefined = undefined,
  ) {
    this.#files = files;
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
    const files = this.#files;
    const shown = files === undefined ? [] : [`--cacert=${files.ca}`, `--cert=${files.cert}`, `--key=${files.key}`];
    const child = Bun.spawn(["etcdctl", `--endpoints=${this.endpoint}`, "--command-timeout=5s", ...shown, ...words], {
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
      const tls = this.#files === undefined ? undefined : pemTexts(this.#files);
      const answer = await fetch(`${this.endpoint}/health`, {
        signal: AbortSignal.timeout(1_000),
        ...(tls === undefined ? {} : { tls }),
      });
      return ((await answer.json()) as { health?: string }).health === "true";
    } catch {
      return false;
    }
  }
}

/** For a client, from the files. */
export function pemTexts({ ca, cert, key }: CertificateFiles): CertificateFiles {
  const [caText, certText, keyText] = [ca, cert, key].map((path) => readFileSync(path, "utf8"));
  return { ca: caText ?? "", cert: certText ?? "", key: keyText ?? "" };
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
