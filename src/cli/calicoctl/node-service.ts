/** The node of this host as a service of calicoctl's making, for `calicoctl node` and `calicoctl node run`. */

import { describeError, OperationError } from "../../base/errors.ts";
import { serviceReady, startService } from "../services/local-services.ts";
import { type ServicePlaces, servicePlaces } from "../services/service-record.ts";
import { nodeContainer, nodeInContainer, nodeState } from "./classic/node-state.ts";
import { type CalicoctlContext, CommandFailure } from "./command.ts";

const readyWithinMs = 60_000;

export interface NodeService {
  /** After `margay node`, without the run directory. */
  readonly words: readonly string[];
  readonly logDir: string | undefined;
  /** Beside those of the caller. */
  readonly env: Readonly<Record<string, string>>;
}

export interface NodeServiceTold {
  readonly onCommand?: (words: readonly string[]) => void;
  readonly onStarted?: (id: string) => void;
}

/** Resolves with its id when the node is ready. @throws CommandFailure when it ends or does not get ready in time */
export async function startNodeService(
  context: CalicoctlContext,
  { words: wanted, logDir, env: own }: NodeService,
  told: NodeServiceTold,
): Promise<string> {
  const { io, clock, host } = context;
  const places: ServicePlaces = { ...servicePlaces(io.env), ...(logDir === undefined ? {} : { logDir }) };
  const words = ["node", ...wanted, `--run-dir=${places.runDir}`];
  told.onCommand?.(words);
  const { CALICO_NETWORKING: _former, ...inherited } = io.env;
  const service = { name: "node", words, places, env: { ...inherited, ...own }, clock } as const;
  try {
    // A node that calicoctl has started in a container is replaced, too.
    const former = await nodeInContainer(context, nodeContainer);
    if (former !== undefined) await (await host.docker()).containers.remove(former.Id, { force: true });
    const { id } = await startService(service);
    told.onStarted?.(id);
    const ready = async () => io.signal.aborted || (await nodeState(context)).kind === "ready";
    await serviceReady(service, readyWithinMs, ready);
    return id;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw new CommandFailure("stdout", `${describeError(error)}\n${error.remedy ?? ""}\n`);
  }
}
