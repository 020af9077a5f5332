/**
 * The node's own API for programs on this host: HTTP on a unix socket that only root may open. Plug-in executables and
 * `calicoctl node status` ask here. What other folders know of the node's state they add as sections of /v1/status.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { BadInput, describeError, OperationError } from "../base/errors.ts";

export type StatusSection = () => object;
/**
 * Answers a JSON document with one. BadInput is the asker's fault (400); an OperationError is what stands in the way, and
 * is answered with its code (409). The signal aborts when the asker has gone.
 */
export type QuestionHandler = (body: unknown, signal: AbortSignal) => object | Promise<object>;

const bodyBytesMax = 64 * 1024;

export class NodeApi implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #sections = new Map<string, StatusSection>();
  readonly #questions = new Map<string, QuestionHandler>();
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(socketPath: string) {
    this.#socketPath = socketPath;
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o755 });
    rmSync(socketPath, { force: true });
    this.#server = Bun.serve({
      unix: socketPath,
      maxRequestBodySize: bodyBytesMax,
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

  /** Adds a path that answers a POST. */
  addQuestion(path: string, handler: QuestionHandler): void {
    this.#questions.set(path, handler);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#socketPath, { force: true });
    await this.#server.stop(true);
  }

  async #serve(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const question = this.#questions.get(pathname);
    if (question !== undefined) return await answered(question, request);
    if (pathname !== "/v1/status") return Response.json({ message: `no such path: ${pathname}` }, { status: 404 });
    if (request.method !== "GET") return Response.json({ message: "GET only" }, { status: 405 });
    return Response.json(Object.fromEntries([...this.#sections].map(([name, section]) => [name, section()])));
  }
}

async function answered(question: QuestionHandler, request: Request): Promise<Response> {
  if (request.method !== "POST") return Response.json({ message: "POST only" }, { status: 405 });
  let body: unknown;
  try {
    body = await request.json();
  } catch {
    return Response.json({ message: "the body is no JSON document" }, { status: 400 });
  }
  try {
    return Response.json(await question(body, request.signal));
  } catch (error) {
    if (error instanceof BadInput) return Response.json({ message: describeError(error) }, { status: 400 });
    if (!(error instanceof OperationError)) throw error;
    const { code, remedy } = error;
    return Response.json(
      { code, message: describeError(error), ...(remedy === undefined ? {} : { remedy }) },
      { status: 409 },
    );
  }
}
