/** Pings without pause, and what became of them. */

import type { TestNamespace } from "../src/kernel/testing/test-namespaces.ts";
import { eventually } from "../test/acceptance/eventually.ts";

export class Probe {
  readonly #child: ReturnType<typeof Bun.spawn>;
  readonly #ended: Promise<void>;
  #output = "";
  #replies = 0;

  private constructor(child: ReturnType<typeof Bun.spawn>) {
    this.#child = child;
    this.#ended = this.#read(child.stdout as ReadableStream<Uint8Array>);
  }

  static start(from: TestNamespace, to: string): Probe {
    return new Probe(from.start("ping", "-n", "-i", "0.002", "-W", "1", to));
  }

  /** Waits until some more came back. */
  async goesOn(): Promise<void> {
    const enough = this.#replies + 5;
    await eventually("replies come", () => {
      if (this.#replies < enough) throw new Error(`${this.#replies} replies`);
    });
  }

  async stop(): Promise<{ readonly sent: number; readonly received: number }> {
    this.#child.kill("SIGINT");
    await this.#ended;
    const [, sent = "-1", received = "-1"] = /(\d+) packets transmitted, (\d+) received/.exec(this.#output) ?? [];
    return { sent: Number(sent), received: Number(received) };
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) {
      const text = Buffer.from(chunk).toString();
      this.#replies += text.match(/bytes from/g)?.length ?? 0;
      // The summary is at the end; a line of each packet is not worth keeping.
      this.#output = (this.#output + text).slice(-1_000);
    }
  }
}
