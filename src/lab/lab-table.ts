/** A lab as text for people. Pure. */

import type { LabView } from "./running-lab.ts";

export function labTable(view: LabView, nowMs: number): string {
  const ports = view.forwards.map(({ name, address, port, to }) => `${name} http://${address}:${port} -> ${to}`);
  const head = [
    `Lab "${view.name}": ${view.supervised ? view.phase : "its supervisor has died: services are not restarted"}`,
    `store ${view.store} at ${view.storeEndpoint}, hosts in ${view.subnet}, the world beyond at ${view.outside}`,
    ...ports,
  ];
  const rows = view.hosts.flatMap((host) =>
    host.services.map((service, at) => [
      at === 0 ? host.name : "",
      at === 0 ? host.address : "",
      at === 0 ? (view.links[host.name] ?? "") : "",
      service.name,
      service.phase === "ready" ? "ready" : `${service.phase}: ${service.reason}`,
      String(service.restarts),
      age(nowMs - service.sinceMs),
    ]),
  );
  return `${head.join("\n")}\n\n${table(["HOST", "ADDRESS", "LINK", "SERVICE", "STATE", "RESTARTS", "SINCE"], rows)}`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes}m` : `${Math.floor(minutes / 60)}h`;
}
