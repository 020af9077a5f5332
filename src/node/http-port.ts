/** An HTTP server that listens where the configuration says, moves when it says otherwise, and may be nowhere. */
import { OperationError } from "../base/errors.ts";
import type { ListenAddress } from "./agent-settings.ts";

export class HttpPort implements AsyncDisposable {
  readonly #name: string;
  readonly #answer: (path: string) => Promise<Response>;
  #server: ReturnType<typeof Bun.serve> | undefined;
  #at: ListenAddress | undefined;

  /** `name`: for errors; `answer`: to a request for that path. */
  constructor(name: string, answer: (path: string) => Promise<Response>) {
    this.#name = name;
    this.#answer = answer;
  }

  /** The port it has; 0 when it listens nowhere. */
  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** The new place is taken before the old one is left. @throws NODE_PORT_TAKEN; it stays where it was */
  async moveTo(address: ListenAddress | undefined): Promise<void> {
    if (address?.hostname === this.#at?.hostname && address?.port === this.#at?.port) return;
    const before = this.#server;
    this.#server = address && this.#listen(address);
    this.#at = address;
    await before?.stop(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.moveTo(undefined);
  }

  #listen({ hostname, port }: ListenAddress): ReturnType<typeof Bun.serve> {
    try {
      return Bun.serve({ hostname, port, fetch: (request) => this.#answer(new URL(request.url).pathname) });
    } catch (cause) {
      throw new OperationError("NODE_PORT_TAKEN", `${this.#name} cannot listen on ${hostname}:${port}`, {
        remedy: "choose another with --health-port, or with healthPort and prometheusMetricsPort of FelixConfiguration",
        retry: "after-change",
        cause,
      });
    }
  }
}
