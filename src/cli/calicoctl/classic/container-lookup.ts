/** Which container of this host a user means: by Docker's name or id, or by the file of its network namespace. */

import { accessSync, constants, existsSync } from "node:fs";
import { OperationError } from "../../../base/errors.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "../command.ts";

export interface LocalContainer {
  readonly orchestrator: "docker" | "namespace";
  /** Its id in the datastore: Docker's full id, or the path of the namespace with dashes. */
  readonly workload: string;
  readonly namespacePath: string;
  readonly running: boolean;
  readonly hasHostNetwork: boolean;
  /** Endpoints that Docker's own networks gave it. */
  readonly networkEndpoints: readonly string[];
}

/** @throws CommandFailure */
export async function lookUpContainer(context: CalicoctlContext, typed: string): Promise<LocalContainer> {
  if (typed.startsWith("/") && existsSync(typed)) {
    return {
      orchestrator: "namespace",
      workload: namespaceId(typed),
      // As this process sees it: what is mounted below /run later than a node's container has begun is not there.
      namespacePath: `/proc/${process.pid}/root${typed}`,
      running: true,
      hasHostNetwork: false,
      networkEndpoints: [],
    };
  }
  const docker = await context.host.docker();
  try {
    const { Id, State, HostConfig, NetworkSettings } = await docker.containers.inspect(typed);
    return {
      orchestrator: "docker",
      workload: Id,
      namespacePath: `/proc/${State.Pid}/ns/net`,
      running: State.Running,
      hasHostNetwork: HostConfig.NetworkMode === "host",
      networkEndpoints: Object.values(NetworkSettings.Networks).map(({ EndpointID }) => EndpointID),
    };
  } catch (error) {
    if (error instanceof OperationError) throw dockerFailure(context, error, `Container ${typed} was not found.\n`);
    throw error;
  }
}

/** What is said when Docker does not do what it was asked. */
export function dockerFailure(context: CalicoctlContext, error: OperationError, notFound: string): Error {
  if ("status" in error && error.status === 404) return new CommandFailure("stdout", notFound);
  if (error.code === "DOCKER_REFUSED") return new CommandFailure("stdout", `${error.message}\n`);
  if (error.code !== "DOCKER_UNAVAILABLE") return error;
  if (!context.host.isRoot && mayNotAsk(context.io.env.DOCKER_HOST)) {
    const remedy =
      "Re-run the command as root, or configure the docker group to run with sudo privileges (see docker installation guide for details).";
    return new CommandFailure("stdout", paragraph(`Unable to run command.  ${remedy}`));
  }
  return new CommandFailure("stdout", paragraph("Unable to run docker commands. Is the docker daemon running?"));
}

/** The socket is there and not for this user. */
function mayNotAsk(dockerHost = ""): boolean {
  const path = dockerHost.replace(/^unix:\/\//, "") || "/var/run/docker.sock";
  if (!path.startsWith("/") || !existsSync(path)) return false;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return true;
  }
}

/** A path as a name: upstream's leading dash cannot stand in a key of today's datastore. */
export function namespaceId(path: string): string {
  return path.replaceAll(/^\/+|\/+$/g, "").replaceAll(/\/+/g, "-");
}
