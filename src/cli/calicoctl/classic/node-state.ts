/** Whether a node serves this host, and who started it. Asked of the node itself, never of the process list. */

import { OperationError } from "../../../base/errors.ts";
import { runningService, servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, CommandFailure } from "../command.ts";

export const nodeContainer = "calico-node";

export type NodeState =
  | { readonly kind: "away" }
  | { readonly kind: "waiting"; readonly because: string }
  | { readonly kind: "ready" };

const healthWithinMs = 2_000;

/** The node's own socket is root's; others ask its health port. */
export async function nodeState({ host }: CalicoctlContext): Promise<NodeState> {
  if (!host.isRoot) return await healthState();
  try {
    const answer = await host.askNode("/v1/status");
    if (!answer.ok) return { kind: "away" };
    const waiting = Object.entries(answer.document.health ?? {}).flatMap(([name, state]) =>
      state.ready === true ? [] : [`${name}: ${String(state.detail)}`],
    );
    return waiting.length === 0 ? { kind: "ready" } : { kind: "waiting", because: waiting.join("; ") };
  } catch (error) {
    if (error instanceof OperationError && error.code === "NODE_AWAY") return { kind: "away" };
    throw error;
  }
}

async function healthState(): Promise<NodeState> {
  try {
    const response = await fetch("http://127.0.0.1:9099/readiness", { signal: AbortSignal.timeout(healthWithinMs) });
    const table = await response.text();
    return response.ok ? { kind: "ready" } : { kind: "waiting", because: table.trim().replaceAll(/\s*\n\s*/g, "; ") };
  } catch {
    return { kind: "away" }; // nobody listens: whatever the reason, no node answers
  }
}

/** Since when calicoctl's own node runs; undefined: it did not start one, or it has ended. */
export async function nodeService({ io }: CalicoctlContext) {
  return await runningService(servicePlaces(io.env), "node");
}

/** The container of a node that was started with an image; undefined also when Docker is not there. */
export async function nodeInContainer({ host }: CalicoctlContext, name = nodeContainer) {
  try {
    const docker = await host.docker();
    const [found] = (await docker.containers.list({ all: true, filters: { name: [`^/${name}$`] } })).filter(
      ({ Names }) => Names.includes(`/${name}`),
    );
    return found;
  } catch (error) {
    if (error instanceof OperationError) return undefined;
    throw error;
  }
}

/** A node that a person or another supervisor started is theirs to stop. @throws CommandFailure */
export async function checkNotStartedElsewhere(context: CalicoctlContext): Promise<void> {
  if ((await nodeState(context)).kind === "away") return;
  if ((await nodeService(context)) !== undefined) return;
  if ((await nodeInContainer(context))?.State === "running") return;
  throw new CommandFailure(
    "stdout",
    "A node serves this host already that calicoctl did not start; stop it where it was started.\n",
  );
}
