/**
 * One health check of a running container, made from the agent's own host: an HTTP request or a TCP connection to the
 * container's address (a host always reaches its own containers, whatever their network's policy says), or a command
 * inside the container. On the host's network the address is the loopback.
 */

import { connect } from "node:net";
import { describeError } from "../../../base/errors.ts";
import type { CommandInfo } from "../../protocol/command-info.ts";
import type { HealthCheck } from "../../protocol/health-check.ts";
import type { Containerizer, ContainerReport } from "../containerizer.ts";

export interface ProbeResult {
  readonly ok: boolean;
  readonly detail: string;
}

export interface ProbeTarget {
  readonly containerId: string;
  readonly report: ContainerReport;
  readonly containerizer: Containerizer;
}

export type ProbeKind = "COMMAND" | "HTTP" | "TCP";

/** Old clients leave the type out. */
export function probeKind(check: HealthCheck): ProbeKind | undefined {
  if (check.type === "COMMAND" || check.type === "HTTP" || check.type === "TCP") return check.type;
  if (check.http !== undefined) return "HTTP";
  if (check.tcp !== undefined) return "TCP";
  return check.command === undefined ? undefined : "COMMAND";
}

export async function probe(check: HealthCheck, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  try {
    switch (probeKind(check)) {
      case "HTTP":
        return await probeHttp(check, target, signal);
      case "TCP":
        return await probeTcp(check, target, signal);
      case "COMMAND":
        return await probeCommand(check.command ?? {}, target, signal);
      case undefined:
        return { ok: false, detail: "the health check has no type" };
    }
  } catch (cause) {
    return { ok: false, detail: signal.aborted ? "timed out" : describeError(cause) };
  }
}

async function probeHttp(check: HealthCheck, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const { http } = check;
  if (http === undefined) return { ok: false, detail: "the health check has no http" };
  const address = addressFor(target.report, http.protocol);
  if (address === undefined) return { ok: false, detail: "the container has no address" };
  const path = http.path === undefined || http.path.startsWith("/") ? (http.path ?? "/") : `/${http.path}`;
  const response = await fetch(`${http.scheme ?? "http"}://${bracketed(address)}:${http.port}${path}`, {
    redirect: "manual",
    signal,
    keepalive: false,
    // What answers is what is asked for: a certificate of an address in a private network proves nothing.
    tls: { rejectUnauthorized: false },
  });
  await response.body?.cancel();
  return { ok: response.status >= 200 && response.status < 400, detail: `status ${response.status}` };
}

function probeTcp(check: HealthCheck, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const { tcp } = check;
  const host = addressFor(target.report, tcp?.protocol);
  return new Promise((resolve) => {
    if (tcp === undefined || host === undefined) {
      return resolve({
        ok: false,
        detail: tcp === undefined ? "the health check has no tcp" : "the container has no address",
      });
    }
    const socket = connect({ host, port: tcp.port });
    const end = (result: ProbeResult) => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(result);
    };
    const onAbort = () => end({ ok: false, detail: "timed out" });
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => end({ ok: true, detail: "connected" }));
    socket.once("error", (cause) => end({ ok: false, detail: describeError(cause) }));
  });
}

async function probeCommand(command: CommandInfo, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const argv =
    (command.shell ?? true)
      ? ["/bin/sh", "-c", command.value ?? ""]
      : [...(command.arguments?.length ? command.arguments : [command.value ?? ""])];
  const { exitCode, output } = await target.containerizer.run(target.containerId, argv, signal);
  return {
    ok: exitCode === 0,
    detail: `exit status ${exitCode}${output === "" ? "" : `: ${output.slice(0, 200).trim()}`}`,
  };
}

function addressFor(report: ContainerReport, protocol: "IPv4" | "IPv6" | undefined): string | undefined {
  if (report.hostNetwork) return protocol === "IPv6" ? "::1" : "127.0.0.1";
  const wanted = report.addresses.find((one) => (one.protocol ?? "IPv4") === (protocol ?? "IPv4"));
  return (wanted ?? (protocol === undefined ? report.addresses[0] : undefined))?.ip_address;
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
