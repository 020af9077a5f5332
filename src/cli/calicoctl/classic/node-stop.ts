/** `calicoctl node stop` and `calicoctl node remove` (calicoctl.md 3.8). */

import { OperationError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { nodeKey } from "../../../model/keys.ts";
import { removeHostsThings } from "../../../node/host-removal.ts";
import { stopService } from "../../services/local-services.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "../command.ts";
import { forgetNodeName } from "../this-host.ts";
import { type ClassicEndpoint, listEndpoints } from "./endpoint-access.ts";
import { checkNotStartedElsewhere, nodeContainer, nodeInContainer, nodeState } from "./node-state.ts";
import { requireRoot } from "./root.ts";
import type { Typed } from "./usage-forms.ts";

const libnetworkContainer = "calico-libnetwork";

export async function stopNode(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  requireRoot(context, "It stops the node of this host.");
  const endpoints = await ownEndpoints(context, typed.has("--force"));
  if (endpoints.length > 0 && !typed.has("--force")) {
    const problem = "Current host has active endpoints so can't be stopped.  Force with --force";
    const note = "While the node is stopped its containers go on, but changes of policy do not reach them.";
    throw new CommandFailure("stdout", paragraph(problem) + paragraph(note));
  }
  if (endpoints.length > 0) {
    io.stdout(
      paragraph(
        "Stopping node while host has active endpoints.  If this in error, restart the node using the 'calicoctl node' command.",
      ),
    );
  }
  await checkNotStartedElsewhere(context);
  await stopWhatRuns(context);
  io.stdout("Node stopped\n");
  return 0;
}

/** Who forces it does not depend on the store. */
async function ownEndpoints({ store, host }: CalicoctlContext, force: boolean): Promise<readonly ClassicEndpoint[]> {
  try {
    return await listEndpoints(await store(), { host: host.name });
  } catch (error) {
    if (force && error instanceof OperationError && error.code === "STORE_UNAVAILABLE") return [];
    throw error;
  }
}

/** As a service, as containers; what is not there is no error. */
export async function stopWhatRuns(context: CalicoctlContext): Promise<void> {
  const { io, clock, host } = context;
  await stopService(servicePlaces(io.env), "node", clock);
  for (const name of [nodeContainer, libnetworkContainer]) {
    const found = await nodeInContainer(context, name);
    if (found !== undefined && found.State === "running") await (await host.docker()).containers.stop(found.Id);
  }
}

export async function removeNode(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io, clock, host } = context;
  const name = typed.option("--hostname") ?? host.name;
  const isOwn = name === host.name;
  if (isOwn) {
    requireRoot(context, "It takes interfaces, routes and rules out of this host's kernel.");
    if ((await nodeState(context)).kind !== "away") {
      const problem =
        "The node cannot be removed while it is running.  Please run 'calicoctl node stop' to stop the node before removing it.";
      throw new CommandFailure("stdout", paragraph(problem));
    }
  }
  const store = await context.store();
  const endpoints = await listEndpoints(store, { host: name });
  if (endpoints.length > 0 && !typed.has("--remove-endpoints")) {
    const problem = "The node has active Calico endpoints so can't be deleted. Force with --remove-endpoints";
    const note = "The endpoints' containers lose their interfaces and addresses then.";
    throw new CommandFailure("stdout", paragraph(problem) + paragraph(note));
  }
  if (isOwn) {
    const { clearKernel } = await import("./clear-kernel.ts");
    await clearKernel();
    forgetNodeName();
  }
  const key = nodeKey(name);
  const removed = { key, modRevision: (await store.get(key))?.modRevision ?? 0 };
  const ipam = new Ipam({ store, clock });
  if (!(await removeHostsThings({ store, ipam, host: name, removed, signal: io.signal }))) {
    const problem = `The node was changed while it was being removed. Please run 'calicoctl node remove' again.`;
    throw new CommandFailure("stdout", paragraph(problem));
  }
  await store.delete(key);
  io.stdout("Node configuration removed\n");
  return 0;
}
