/** How a task wants to be found: DiscoveryInfo, read by mesos-dns and load-balancer glue. */

import type { Labels } from "./values.ts";

export type Visibility = "FRAMEWORK" | "CLUSTER" | "EXTERNAL";

export interface DiscoveryPort {
  readonly number: number;
  readonly name?: string | undefined;
  readonly protocol?: string | undefined;
  readonly visibility?: Visibility | undefined;
  readonly labels?: Labels | undefined;
}
export interface DiscoveryInfo {
  readonly visibility: Visibility;
  readonly name?: string | undefined;
  readonly environment?: string | undefined;
  readonly location?: string | undefined;
  readonly version?: string | undefined;
  readonly ports?: { readonly ports?: readonly DiscoveryPort[] | undefined } | undefined;
  readonly labels?: Labels | undefined;
}
