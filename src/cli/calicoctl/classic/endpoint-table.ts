/** Endpoints as tables (calicoctl.md 3.4). */

import type { ClassicEndpoint } from "./endpoint-access.ts";
import { prettyTable } from "./pretty-table.ts";

export function summaryTable(endpoints: readonly ClassicEndpoint[]): string {
  const groups = Map.groupBy(endpoints, ({ host, orchestrator }) => `${host}\0${orchestrator}`);
  const rows = [...groups.values()].map((group) => {
    const workloads = new Set(group.map(({ workload }) => workload));
    const { host = "", orchestrator = "" } = group[0] ?? {};
    return [host, orchestrator, String(workloads.size), String(group.length)];
  });
  return `${prettyTable(["Hostname", "Orchestrator ID", "Number of Workloads", "Number of Endpoints"], rows)}\n`;
}

const detailedHeader = [
  "Hostname",
  "Orchestrator ID",
  "Workload ID",
  "Endpoint ID",
  "Addresses",
  "MAC",
  "Profiles",
  "State",
] as const;

/** @param nameOf the name users gave a profile */
export function detailedTable(endpoints: readonly ClassicEndpoint[], nameOf: (stored: string) => string): string {
  const rows = endpoints.map(({ host, orchestrator, workload, id, resource: { spec } }) => {
    const profiles = (spec.profiles ?? []).map(nameOf);
    return [
      host,
      orchestrator,
      workload,
      id,
      (spec.ipNetworks ?? []).join("\n"),
      spec.mac,
      profiles.join(","),
      "active",
    ];
  });
  return `${prettyTable(detailedHeader, rows)}\n`;
}
