/** What a task runs: CommandInfo with its URIs and environment, and ExecutorInfo, as in the Mesos v1 API. */

import type { ContainerInfo } from "./container-info.ts";
import type { DiscoveryInfo } from "./discovery-info.ts";
import type { ExecutorID, FrameworkID } from "./ids.ts";
import type { Resource, Secret } from "./resource-info.ts";
import type { DurationInfo, Labels } from "./values.ts";

/** `extract` defaults to true, `executable` and `cache` to false. */
export interface URI {
  readonly value: string;
  readonly executable?: boolean | undefined;
  readonly extract?: boolean | undefined;
  readonly cache?: boolean | undefined;
  readonly output_file?: string | undefined;
}
export interface EnvironmentVariable {
  readonly name: string;
  /** Absent means VALUE: old clients send name and value only. */
  readonly type?: "UNKNOWN" | "VALUE" | "SECRET" | undefined;
  readonly value?: string | undefined;
  readonly secret?: Secret | undefined;
}
export interface Environment {
  readonly variables?: readonly EnvironmentVariable[] | undefined;
}
export interface CommandInfo {
  readonly uris?: readonly URI[] | undefined;
  readonly environment?: Environment | undefined;
  /** Absent means true: `/bin/sh -c value`. False: `value` then `arguments`; for Docker both absent is the image's own command. */
  readonly shell?: boolean | undefined;
  readonly value?: string | undefined;
  readonly arguments?: readonly string[] | undefined;
  readonly user?: string | undefined;
}
export interface ExecutorInfo {
  readonly type?: "UNKNOWN" | "DEFAULT" | "CUSTOM" | undefined;
  readonly executor_id: ExecutorID;
  readonly framework_id?: FrameworkID | undefined;
  readonly command?: CommandInfo | undefined;
  readonly container?: ContainerInfo | undefined;
  readonly resources?: readonly Resource[] | undefined;
  readonly name?: string | undefined;
  readonly source?: string | undefined;
  /** base64 */
  readonly data?: string | undefined;
  readonly discovery?: DiscoveryInfo | undefined;
  readonly shutdown_grace_period?: DurationInfo | undefined;
  readonly labels?: Labels | undefined;
}
