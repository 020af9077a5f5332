/**
 * Client of the Docker Engine API for everything in Margay that talks to a daemon: the node's network driver and the
 * agent's containerizer. Speaks API 1.24 to 1.44, whichever is the newest both sides know.
 * Absent on purpose: retries (the caller knows what a repeat would mean), keep-alive, building images, swarm.
 */
import { z } from "zod";
import type { Clock } from "../../../base/clock.ts";
import { ContainerCommands } from "./container-commands.ts";
import { type CallOptions, Containers } from "./containers.ts";
import { type ApiVersion, EngineConnection } from "./engine-connection.ts";
import { EngineEvents } from "./events.ts";
import { Images } from "./images.ts";
import { Networks } from "./networks.ts";

const engineInfo = z.looseObject({
  Name: z.string().default(""),
  ServerVersion: z.string().default(""),
  NCPU: z.number().default(0),
  MemTotal: z.number().default(0),
  CgroupVersion: z.string().default("1"),
  LiveRestoreEnabled: z.boolean().default(false),
});
export type EngineInfo = z.output<typeof engineInfo>;

export const DOCKER_HOST_DEFAULT = "unix:///var/run/docker.sock";

export interface DockerEngineOptions {
  readonly clock: Clock;
  /** As DOCKER_HOST: `unix:///var/run/docker.sock`, `tcp://host:2375`. */
  readonly host?: string;
  readonly socketPath?: string;
}

export class DockerEngine {
  readonly containers: Containers;
  readonly commands: ContainerCommands;
  readonly images: Images;
  readonly networks: Networks;
  readonly events: EngineEvents;
  readonly #connection: EngineConnection;

  constructor(options: DockerEngineOptions) {
    const host = options.socketPath ?? options.host ?? DOCKER_HOST_DEFAULT;
    this.#connection = new EngineConnection({ host, clock: options.clock });
    this.containers = new Containers(this.#connection);
    this.commands = new ContainerCommands(this.#connection);
    this.images = new Images(this.#connection);
    this.networks = new Networks(this.#connection);
    this.events = new EngineEvents(this.#connection, options.clock);
  }

  /** The API version in use; fails when the daemon cannot be reached. */
  async version(options: CallOptions = {}): Promise<ApiVersion> {
    return await this.#connection.version(options.signal);
  }

  async info(options: CallOptions = {}): Promise<EngineInfo> {
    return await this.#connection.json(engineInfo, { method: "GET", path: "/info", signal: options.signal });
  }
}
