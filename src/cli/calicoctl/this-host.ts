/** The host a command runs on: who it is, its Docker Engine, and the margay node that serves it. */

import { rmdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { determineNodeName } from "../../node/start-up/node-name.ts";
import type { DockerEngine } from "../../plugins/docker/engine/docker-engine.ts";
import type { NodeAnswer } from "./node-client.ts";

export interface ThisHost {
  /** The name the host has in the cluster. */
  readonly name: string;
  readonly isRoot: boolean;
  /** By DOCKER_HOST; nothing is asked of it yet. */
  docker(): Promise<Pick<DockerEngine, "containers" | "networks" | "images" | "version">>;
  /** A question to the node's own API: a document is posted, without one the path is read. */
  askNode(path: string, body?: object): Promise<NodeAnswer>;
}

/** Where the node keeps the name it was started with. */
const nodenameFile = "/var/lib/calico/nodename";

/** With its folder, unless somebody else has something there. */
export function forgetNodeName(): void {
  rmSync(nodenameFile, { force: true });
  try {
    rmdirSync(dirname(nodenameFile));
  } catch {
    // not empty, or not there
  }
}

/** HOSTNAME counts first, as in the classic releases. */
export function thisHost(env: Readonly<Record<string, string | undefined>>, clock: Clock): ThisHost {
  return {
    get name() {
      if (env.HOSTNAME) return env.HOSTNAME;
      return determineNodeName({
        option: undefined,
        env,
        file: env.CALICO_NODENAME_FILE || nodenameFile,
        machine: hostname,
      });
    },
    isRoot: process.geteuid?.() === 0,
    docker: async () => {
      const { DOCKER_HOST_DEFAULT, DockerEngine } = await import("../../plugins/docker/engine/docker-engine.ts");
      return new DockerEngine({ clock, host: env.DOCKER_HOST || DOCKER_HOST_DEFAULT });
    },
    askNode: async (path, body) => {
      const { askNode } = await import("./node-client.ts");
      return await askNode({ runDir: env.MARGAY_RUN_DIR || "/run/margay", path, body, clock });
    },
  };
}
