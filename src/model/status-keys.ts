/** Where Felix tells how a host and its endpoints are (calico-datastore.md 1.2, 1.3, 1.9). */
import { BadInput } from "../base/errors.ts";
import { escapeComponent } from "./keys.ts";

/** `region`: undefined for the one a cluster has unless it says otherwise. @throws BadInput for one with a slash */
export function felixHostPrefix(region: string | undefined, host: string): string {
  if (region?.includes("/")) throw new BadInput("openstackRegion", `"${region}" has a slash`, "a name without slash");
  const part = region === undefined || region === "" ? "no-region" : `region-${region}`;
  return `/calico/felix/v2/${part}/host/${escapeComponent(host)}/`;
}

/** Leased: gone some time after the host stopped reporting. */
export function hostStatusKey(region: string | undefined, host: string): string {
  return `${felixHostPrefix(region, host)}status`;
}

export function lastReportedStatusKey(region: string | undefined, host: string): string {
  return `${felixHostPrefix(region, host)}last_reported_status`;
}

export function workloadStatusPrefix(region: string | undefined, host: string): string {
  return `${felixHostPrefix(region, host)}workload/`;
}

export interface WorkloadStatusId {
  readonly orchestrator: string;
  /** With its namespace: default/web. */
  readonly workload: string;
  readonly endpoint: string;
}

export function workloadStatusKey(region: string | undefined, host: string, id: WorkloadStatusId): string {
  const [orchestrator, workload, endpoint] = [id.orchestrator, id.workload, id.endpoint].map(escapeComponent);
  return `${workloadStatusPrefix(region, host)}${orchestrator}/${workload}/endpoint/${endpoint}`;
}

/** Host endpoints are told of without region. */
export function hostEndpointStatusPrefix(host: string): string {
  return `/calico/felix/v1/host/${escapeComponent(host)}/endpoint/`;
}

export function hostEndpointStatusKey(host: string, name: string): string {
  return `${hostEndpointStatusPrefix(host)}${escapeComponent(name)}`;
}
