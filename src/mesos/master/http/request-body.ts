/** A request's body as text, with a limit and a deadline; and the plain answers. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../../base/clock.ts";

const bodyTimeoutMs = 60_000;

export class BodyRefused extends Error {
  override readonly name = "BodyRefused";
  readonly status: 400 | 408 | 413;

  constructor(status: 400 | 408 | 413, message: string) {
    super(message);
    this.status = status;
  }
}

export function readBody(request: IncomingMessage, clock: Clock, bodyMaxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (outcome: () => void) => {
      timer[Symbol.dispose]();
      request.removeAllListeners("data");
      outcome();
    };
    const timer = clock.timer(bodyTimeoutMs, () => {
      finish(() => reject(new BodyRefused(408, "The request body did not arrive in time")));
    });
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bodyMaxBytes) chunks.push(chunk);
      else finish(() => reject(new BodyRefused(413, `The request body is larger than ${bodyMaxBytes} bytes`)));
    });
    request.once("end", () => {
      finish(() => {
        try {
          resolve(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
        } catch {
          // The decoder's own message says less than this.
          reject(new BodyRefused(400, "The request body is not UTF-8 text"));
        }
      });
    });
    request.once("error", (cause) => finish(() => reject(cause)));
    request.once("close", () => finish(() => reject(new BodyRefused(400, "The request body ended early"))));
  });
}

/** Single answers carry their length and, if empty, no type: mesos-go insists on both (reference: mesos-api 10.12). */
export function answer(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(text);
  const type: Record<string, string> = body.length === 0 ? {} : { "Content-Type": "text/plain; charset=utf-8" };
  // After a refusal the rest of the body may still be on its way.
  const connection: Record<string, string> = status === 413 || status === 408 ? { Connection: "close" } : {};
  response.writeHead(status, { ...type, "Content-Length": String(body.length), ...connection, ...headers });
  response.end(body);
}
