/** Client of the node's own API on its Unix socket (src/node/node-api.ts). */

import { join } from "node:path";
import { type Clock, deadline } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";

export type NodeAnswer =
  | { readonly ok: true; readonly document: Readonly<Record<string, unknown>> }
  /** The node refused: `code` is that of its error. */
  | { readonly ok: false; readonly code: string; readonly message: string };

/** What the node has to do takes two trips to the store and a moment in the kernel. */
const answerWithinMs = 30_000;

/** @throws OperationError NODE_AWAY when no node serves this host */
export async function askNode({
  runDir,
  path,
  body,
  clock,
}: {
  readonly runDir: string;
  readonly path: string;
  readonly body: object | undefined;
  readonly clock: Clock;
}): Promise<NodeAnswer> {
  const socket = join(runDir, "node.sock");
  let status: number;
  let document: unknown;
  try {
    const response = await fetch(`http://node${path}`, {
      unix: socket,
      signal: deadline(clock, answerWithinMs),
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    ({ status } = response);
    document = await response.json();
  } catch {
    // Bun's reasons are about web addresses; the path of the socket says it better.
    throw new OperationError("NODE_AWAY", `no margay node answers on this host (${socket})`, {
      remedy: "start it with: calicoctl node --ip=ADDRESS",
      retry: "after-change",
    });
  }
  const fields: Readonly<Record<string, unknown>> =
    typeof document === "object" && document !== null ? { ...document } : {};
  if (status < 300) return { ok: true, document: fields };
  const text = (name: string) => (typeof fields[name] === "string" ? fields[name] : "");
  return {
    ok: false,
    code: text("code") || `HTTP_${status}`,
    message: text("message") || `the node answered ${status}`,
  };
}
