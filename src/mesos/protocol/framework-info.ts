/** Who asks for resources: FrameworkInfo of the Mesos v1 API and questions about it. */

import type { FrameworkID } from "./ids.ts";
import type { Labels, Scalar } from "./values.ts";

export const frameworkCapabilities = [
  "UNKNOWN",
  "REVOCABLE_RESOURCES",
  "TASK_KILLING_STATE",
  "GPU_RESOURCES",
  "SHARED_RESOURCES",
  "PARTITION_AWARE",
  "MULTI_ROLE",
  "RESERVATION_REFINEMENT",
  "REGION_AWARE",
] as const;
export type FrameworkCapability = (typeof frameworkCapabilities)[number];

export interface ResourceQuantities {
  readonly quantities?: Readonly<Record<string, Scalar>> | undefined;
}
export interface OfferFilters {
  readonly min_allocatable_resources?: { readonly quantities?: readonly ResourceQuantities[] | undefined } | undefined;
}
export interface FrameworkInfo {
  readonly user: string;
  readonly name: string;
  readonly id?: FrameworkID | undefined;
  /** Seconds the master keeps the framework's tasks after its stream ended. Absent means 0: removed at once. */
  readonly failover_timeout?: number | undefined;
  readonly checkpoint?: boolean | undefined;
  /** Without MULTI_ROLE only (default `*`); with it `roles` counts. */
  readonly role?: string | undefined;
  readonly roles?: readonly string[] | undefined;
  readonly hostname?: string | undefined;
  readonly principal?: string | undefined;
  readonly webui_url?: string | undefined;
  readonly capabilities?: readonly { readonly type?: FrameworkCapability | undefined }[] | undefined;
  readonly labels?: Labels | undefined;
  readonly offer_filters?: Readonly<Record<string, OfferFilters>> | undefined;
}

export function hasCapability(framework: FrameworkInfo, capability: FrameworkCapability): boolean {
  return framework.capabilities?.some((one) => one.type === capability) ?? false;
}

export function frameworkRoles(framework: FrameworkInfo): readonly string[] {
  return hasCapability(framework, "MULTI_ROLE") ? (framework.roles ?? []) : [framework.role ?? "*"];
}
