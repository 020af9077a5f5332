/**
 * What a lab writes down about itself, for `lab status`, `exec` and the like, in `<root>/<name>/state.json` (0600).
 * It is a view, never an authority: clean-up works without it.
 */

import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { OperationError } from "../base/errors.ts";

const servicePhase = z.enum(["waiting", "starting", "ready", "restarting", "stopped"]);
export type ServicePhase = z.output<typeof servicePhase>;

const serviceState = z.object({
  name: z.string(),
  phase: servicePhase,
  /** Process id on the machine. */
  pid: z.int().optional(),
  /** Why it is in this phase, in words. */
  reason: z.string(),
  restarts: z.int(),
  sinceMs: z.number(),
});
export type ServiceState = z.output<typeof serviceState>;

const hostState = z.object({
  name: z.string(),
  address: z.string(),
  /** The holder's process id on the machine: /proc/<pid>/ns/... are the host's namespaces. */
  pid: z.int(),
  services: z.array(serviceState),
});
export type HostState = z.output<typeof hostState>;

const forwardState = z.object({ name: z.string(), address: z.string(), port: z.int(), to: z.string() });
export type ForwardState = z.output<typeof forwardState>;

const labState = z.object({
  version: z.literal(1),
  name: z.string(),
  phase: z.enum(["starting", "up", "stopping", "failed"]),
  reason: z.string(),
  createdAt: z.string(),
  store: z.enum(["embedded", "etcd"]),
  storeEndpoint: z.string(),
  planIndex: z.int(),
  subnet: z.string(),
  outside: z.string(),
  supervisor: z.object({ pid: z.int(), start: z.string() }),
  switchPid: z.int(),
  forwards: z.array(forwardState),
  hosts: z.array(hostState),
});
export type LabState = z.output<typeof labState>;

/** Where labs keep what they need; the environment may move it. */
export function labRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env.MARGAY_LAB_DIR ?? "/var/lib/margay-lab";
}

export function labFolder(name: string): string {
  return join(labRoot(), name);
}

function stateFile(name: string): string {
  return join(labFolder(name), "state.json");
}

export function parseLabState(text: string): LabState {
  return labState.parse(JSON.parse(text));
}

export function writeLabState(state: LabState): void {
  const path = stateFile(state.name);
  writeFileSync(`${path}.new`, `${JSON.stringify(labState.parse(state), null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when no such lab has written a state that can be read. */
export function readLabState(name: string): LabState | undefined {
  try {
    return parseLabState(readFileSync(stateFile(name), "utf8"));
  } catch {
    return undefined;
  }
}

export function mustReadLabState(name: string): LabState {
  const state = readLabState(name);
  if (state !== undefined) return state;
  const others = labNames().filter((other) => other !== name);
  throw new OperationError(
    "LAB_NOT_UP",
    `lab "${name}" is not up${others.length > 0 ? `; there is: ${others.join(", ")}` : ""}`,
    {
      remedy: "margay lab up",
    },
  );
}

/** Labs that have a directory, alive or not. */
export function labNames(): readonly string[] {
  try {
    return readdirSync(labRoot(), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch {
    return [];
  }
}

export function hostOf(state: LabState, name: string): HostState {
  return state.hosts.find((each) => each.name === name) ?? noSuchHost(state.name, name, state.hosts);
}

export function noSuchHost(lab: string, name: string, hosts: readonly { readonly name: string }[]): never {
  const there = hosts.map((each) => each.name).join(", ");
  throw new OperationError("LAB_NO_SUCH_HOST", `lab "${lab}" has no host "${name}"; it has: ${there}`);
}
