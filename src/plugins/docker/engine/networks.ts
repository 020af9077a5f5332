/** Networks of one Docker daemon. Source: reference/docker.md 5.7. */
import { z } from "zod";
import type { EndpointConfig } from "./container-shapes.ts";
import type { CallOptions } from "./containers.ts";
import { type EngineConnection, filtersText, segment } from "./engine-connection.ts";
import { engineStatus } from "./engine-error.ts";

const stringMap = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

const ipamConfig = z.looseObject({
  Subnet: z.string().default(""),
  IPRange: z.string().default(""),
  Gateway: z.string().default(""),
  AuxiliaryAddresses: stringMap,
});

const attachedEndpoint = z.looseObject({
  Name: z.string().default(""),
  EndpointID: z.string().default(""),
  MacAddress: z.string().default(""),
  IPv4Address: z.string().default(""),
  IPv6Address: z.string().default(""),
});

export const networkInspection = z.looseObject({
  Id: z.string().min(1),
  Name: z.string().min(1),
  Driver: z.string().default(""),
  Scope: z.string().default(""),
  Internal: z.boolean().default(false),
  Attachable: z.boolean().default(false),
  EnableIPv6: z.boolean().default(false),
  EnableIPv4: z.boolean().optional(),
  IPAM: z.looseObject({
    Driver: z.string().default(""),
    Options: stringMap,
    Config: z
      .array(ipamConfig)
      .nullish()
      .transform((value) => value ?? []),
  }),
  Options: stringMap,
  Labels: stringMap,
  /** Key: container id, or `ep-<EndpointID>` until joined. Absent from lists. */
  Containers: z
    .record(z.string(), attachedEndpoint)
    .nullish()
    .transform((value) => value ?? {}),
});
export type NetworkInspection = z.output<typeof networkInspection>;

const createdNetwork = z.looseObject({ Id: z.string().min(1), Warning: z.string().default("") });

export interface NetworkConfig {
  readonly Name: string;
  readonly Driver: string;
  readonly CheckDuplicate?: boolean;
  readonly Internal?: boolean;
  readonly Attachable?: boolean;
  readonly EnableIPv4?: boolean;
  readonly EnableIPv6?: boolean;
  readonly IPAM?: {
    readonly Driver: string;
    readonly Options?: Readonly<Record<string, string>>;
    readonly Config?: readonly {
      readonly Subnet?: string;
      readonly IPRange?: string;
      readonly Gateway?: string;
      readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
    }[];
  };
  readonly Options?: Readonly<Record<string, string>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

export class Networks {
  readonly #connection: EngineConnection;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  /** Without `Containers`: only `inspect` knows them. */
  async list(
    options: CallOptions & { filters?: Readonly<Record<string, readonly string[]>> } = {},
  ): Promise<readonly NetworkInspection[]> {
    const query = { filters: filtersText(options.filters) };
    return await this.#connection.json(z.array(networkInspection), {
      method: "GET",
      path: "/networks",
      query,
      signal: options.signal,
    });
  }

  /** Undefined: the daemon has no such network. */
  async inspect(
    idOrName: string,
    options: CallOptions & { timeoutMs?: number } = {},
  ): Promise<NetworkInspection | undefined> {
    try {
      return await this.#connection.json(networkInspection, {
        method: "GET",
        path: `/networks/${segment(idOrName)}`,
        ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
        signal: options.signal,
      });
    } catch (error) {
      if (engineStatus(error) === 404) return undefined;
      throw error;
    }
  }

  async create(
    config: NetworkConfig,
    options: CallOptions = {},
  ): Promise<{ readonly Id: string; readonly Warning: string }> {
    return await this.#connection.json(createdNetwork, {
      method: "POST",
      path: "/networks/create",
      body: config,
      signal: options.signal,
    });
  }

  /** 403 when endpoints are left; a network that is gone already counts as removed. */
  async remove(idOrName: string, options: CallOptions = {}): Promise<"removed" | "absent"> {
    const status = await this.#connection.done({
      method: "DELETE",
      path: `/networks/${segment(idOrName)}`,
      accept: [404],
      signal: options.signal,
    });
    return status === 404 ? "absent" : "removed";
  }

  async connect(
    network: string,
    containerId: string,
    options: CallOptions & { endpoint?: EndpointConfig } = {},
  ): Promise<void> {
    await this.#connection.done({
      method: "POST",
      path: `/networks/${segment(network)}/connect`,
      body: { Container: containerId, EndpointConfig: options.endpoint ?? {} },
      signal: options.signal,
    });
  }

  async disconnect(
    network: string,
    containerId: string,
    options: CallOptions & { force?: boolean } = {},
  ): Promise<void> {
    await this.#connection.done({
      method: "POST",
      path: `/networks/${segment(network)}/disconnect`,
      body: { Container: containerId, Force: options.force === true },
      signal: options.signal,
    });
  }
}
