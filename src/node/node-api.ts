/**
 * The node's own API for programs on this host: HTTP on a unix socket that only root may open. Plug-in executables and
 * `calicoctl node status` ask here. What other folders know of the node's state they add as sections of /v1/status.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "../base/errors.ts";

export type StatusSection = () => object;

export class NodeApi implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #sections = new Map<string, StatusSection>();
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(socketPath: string) {
    this.#socketPath = socketPath;
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o755 });
    rmSync(socketPath, { force: true });
    this.#server = Bun.serve({
      unix: socketPath,
      fetch: (request) => this.#serve(request),
      error: (error) => Response.json({ message: describeError(error) }, { status: 500 }),
    });
    chmodSync(socketPath, 0o600);
  }

  static listen(socketPath: string): NodeApi {
    return new NodeApi(socketPath);
  }

  /** Adds a section; evaluated at each request. */
  addStatus(name: string, section: StatusSection): void {
    this.#sections.set(name, section);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#socketPath, { force: true });
    await this.#server.stop(true);
  }

  #serve(request: Request): Response {
    const { pathname } = new URL(request.url);
    if (pathname !== "/v1/status") return Response.json({ message: `no such path: ${pathname}` }, { status: 404 });
    if (request.method !== "GET") return Response.json({ message: "GET only" }, { status: 405 });
    return Response.json(Object.fromEntries([...this.#sections].map(([name, section]) => [name, section()])));
  }
}
