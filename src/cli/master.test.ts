/** `margay master` as a process: killed and started again on the same directory, stopped, called wrongly. */

import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { parseSchedulerEvent } from "../mesos/protocol/call-union.ts";
import { readRecords } from "../mesos/protocol/recordio.ts";

const program = join(import.meta.dir, "..", "main.ts");
const startTimeoutMs = 15_000;

class MasterProcess implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly url: string;

  private constructor(process: Bun.Subprocess<"ignore", "ignore", "pipe">, url: string) {
    this.#process = process;
    this.url = url;
  }

  static async start(directory: string): Promise<MasterProcess> {
    const words = [process.execPath, program, "master", "--ip=127.0.0.1", "--port=0", `--work_dir=${directory}`];
    const env = { ...process.env, CALICO_ETCD_ENDPOINTS: "", ETCD_ENDPOINTS: "", ETCD_AUTHORITY: "" };
    const child = Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "pipe", env });
    const { port, drained } = await portOf(child.stderr);
    // The log must be read on, or the process stops when the pipe is full.
    void drained;
    const master = new MasterProcess(child, `http://127.0.0.1:${port}`);
    const end = systemClock.monotonicMs() + startTimeoutMs;
    while ((await fetch(`${master.url}/state`)).status !== 200) {
      if (systemClock.monotonicMs() > end) throw new Error("the master does not become ready");
      await systemClock.sleep(10);
    }
    return master;
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    this.#process.kill(signal);
    return await this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

async function portOf(log: ReadableStream<Uint8Array>): Promise<{ port: number; drained: Promise<void> }> {
  const reader = log.getReader();
  const text = new TextDecoder();
  let seen = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the master ended: ${seen}`);
    seen += text.decode(value);
    const port = /"event":"master_listening".*"port":([0-9]+)/.exec(seen)?.[1];
    if (port !== undefined) return { port: Number(port), drained: drain(reader) };
  }
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}

async function subscribe(url: string, id?: string) {
  const framework_info = {
    user: "a",
    name: "b",
    failover_timeout: 600,
    ...(id === undefined ? {} : { id: { value: id } }),
  };
  const response = await fetch(`${url}/api/v1/scheduler`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      type: "SUBSCRIBE",
      ...(id === undefined ? {} : { framework_id: { value: id } }),
      subscribe: { framework_info },
    }),
  });
  const records = readRecords(response.body ?? new ReadableStream());
  const event = parseSchedulerEvent((await records.next()).value ?? "null");
  if (event?.type !== "SUBSCRIBED") throw new Error(JSON.stringify(event));
  return { id: event.subscribed.framework_id.value, records };
}

describe("margay master", () => {
  test("killed at once, it knows its frameworks again; stopped, it exits 0", async () => {
    const directory = mkdtempSync(join(tmpdir(), "margay-master-"));
    try {
      let id: string;
      {
        await using master = await MasterProcess.start(directory);
        const stream = await subscribe(master.url);
        id = stream.id;
        // Written behind the answer: durable when the metric says so.
        const end = systemClock.monotonicMs() + 5_000;
        const pending = async () =>
          (await (await fetch(`${master.url}/metrics/snapshot`)).json())["registrar/queued_operations"];
        while ((await pending()) !== 0 && systemClock.monotonicMs() < end) await systemClock.sleep(5);
        await master.stop("SIGKILL");
      }
      await using master = await MasterProcess.start(directory);
      const { frameworks } = await (await fetch(`${master.url}/state`)).json();
      expect(frameworks.map((one: { id: string; recovered: boolean }) => [one.id, one.recovered])).toEqual([
        [id, true],
      ]);
      expect((await subscribe(master.url, id)).id).toBe(id);
      expect(await master.stop("SIGTERM")).toBe(0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);

  const calls: readonly [words: readonly string[], code: number, text: string][] = [
    [["--help"], 0, "Usage: margay master"],
    [["--work_dir=/tmp/x", "--nonsense=1"], 1, "unknown flag"],
    [[], 1, "--work_dir"],
    [["--work_dir=/tmp/x", "--zk=zk://a/b"], 1, "ZooKeeper"],
  ];
  for (const [words, code, text] of calls) {
    test(`margay master ${words.join(" ")} ends with ${code}`, async () => {
      const { role } = await import("./master.ts");
      let said = "";
      const say = (more: string) => {
        said += more;
      };
      const io = { stdout: say, stderr: say, stdin: async () => "", env: {}, signal: new AbortController().signal };
      expect(await role.run(words, io)).toBe(code);
      expect(said).toContain(text);
    });
  }
});
