/**
 * Containers as the Engine API writes them (reference/docker.md 5.3, 5.4). Only fields Margay reads or sets are named;
 * unknown ones pass through. An address is read from `NetworkSettings.Networks[name]`, never from the top level.
 */
import { z } from "zod";

/** Docker prints a missing time as year 1. */
export const NEVER = "0001-01-01T00:00:00Z";

const networkEndpoint = z.looseObject({
  NetworkID: z.string().default(""),
  EndpointID: z.string().default(""),
  Gateway: z.string().default(""),
  IPAddress: z.string().default(""),
  IPPrefixLen: z.number().default(0),
  GlobalIPv6Address: z.string().default(""),
  GlobalIPv6PrefixLen: z.number().default(0),
  MacAddress: z.string().default(""),
});

const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

const networks = z
  .record(z.string(), networkEndpoint)
  .nullish()
  .transform((value) => value ?? {});

export const containerState = z.looseObject({
  Status: z.string().default(""),
  Running: z.boolean().default(false),
  OOMKilled: z.boolean().default(false),
  Pid: z.number().default(0),
  ExitCode: z.number().default(0),
  Error: z.string().default(""),
  StartedAt: z.string().default(NEVER),
  FinishedAt: z.string().default(NEVER),
});

export const containerInspection = z.looseObject({
  Id: z.string(),
  Name: z.string(),
  Created: z.string().default(NEVER),
  Image: z.string().default(""),
  State: containerState,
  Config: z.looseObject({
    Labels: labels,
    Env: z.array(z.string()).nullish(),
    Image: z.string().default(""),
    Tty: z.boolean().default(false),
  }),
  HostConfig: z.looseObject({ NetworkMode: z.string().default("") }).default({ NetworkMode: "" }),
  NetworkSettings: z.looseObject({ SandboxKey: z.string().default(""), Networks: networks }),
});
export type ContainerInspection = z.output<typeof containerInspection>;

export const containerSummary = z.looseObject({
  Id: z.string(),
  Names: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  Image: z.string().default(""),
  State: z.string().default(""),
  Status: z.string().default(""),
  Created: z.number().default(0),
  Labels: labels,
  NetworkSettings: z.looseObject({ Networks: networks }).nullish(),
});
export type ContainerSummary = z.output<typeof containerSummary>;

export const createdContainer = z.looseObject({
  Id: z.string().min(1),
  Warnings: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
});
export type CreatedContainer = z.output<typeof createdContainer>;

export const containerExit = z.looseObject({
  StatusCode: z.number(),
  Error: z.looseObject({ Message: z.string().default("") }).nullish(),
});

export interface EndpointConfig {
  readonly IPAMConfig?: { readonly IPv4Address?: string; readonly IPv6Address?: string };
  readonly Aliases?: readonly string[];
  readonly MacAddress?: string;
  /** Reaches the network driver word for word at CreateEndpoint: the one synchronous way to hand it labels. */
  readonly DriverOpts?: Readonly<Record<string, string>>;
}

/** The create body; fields without a name here may be added by the caller, Docker ignores what it does not know. */
export interface ContainerConfig {
  readonly Image: string;
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly Hostname?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly HostConfig?: Readonly<Record<string, unknown>>;
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, EndpointConfig>> };
  readonly [field: string]: unknown;
}
