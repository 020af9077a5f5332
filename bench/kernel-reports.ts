/**
 * When a program changed the packet filter of a network namespace, as the kernel reports each transaction after it is in
 * force. The times include the way through `nft monitor`.
 */

import type { TestNamespace } from "../src/kernel/testing/test-namespaces.ts";
import { eventually } from "../test/acceptance/eventually.ts";

const patienceMs = 10_000;
const table = "watch-begins";

export class KernelReports {
  /** Lines since forget(), with the time they came. */
  #lines: { readonly text: string; readonly atMs: number }[] = [];
  #wake: () => void = () => {};

  private constructor() {}

  /** Ends with the namespace. */
  static async of(namespace: TestNamespace): Promise<KernelReports> {
    const reports = new KernelReports();
    const monitor = namespace.start("nft", "monitor");
    void reports.#read(monitor.stdout as ReadableStream<Uint8Array>);
    await eventually("the kernel's reports come", () => {
      namespace.must("nft", `add table ip ${table}; delete table ip ${table}`);
      if (!reports.#lines.some(({ text }) => text.includes(table))) throw new Error("none yet");
    });
    return reports;
  }

  forget(): void {
    this.#lines = [];
  }

  /** When the nth transaction of the process since forget() was in force. */
  async transaction(pid: number, nth: number): Promise<number> {
    const untilMs = performance.now() + patienceMs;
    while (performance.now() < untilMs) {
      const ofProcess = this.#lines.filter(
        ({ text }) => text.startsWith("# new generation") && text.includes(` process ${pid} `),
      );
      const found = ofProcess[nth - 1];
      if (found !== undefined) return found.atMs;
      await this.#news();
    }
    throw new Error(`process ${pid} changed nothing within ${patienceMs} ms`);
  }

  async #news(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, 1_000);
    await promise;
    clearTimeout(timer);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (const chunk of stream) {
      const atMs = performance.now();
      const lines = (rest + Buffer.from(chunk).toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const text of lines) this.#lines.push({ text, atMs });
      this.#wake();
    }
  }
}
