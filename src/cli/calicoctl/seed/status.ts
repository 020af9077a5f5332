/** `calicoctl status --etcd=HOST:PORT`, in the four parts of the first release (calicoctl.md 1.2). */

import { version } from "../../../base/version.ts";
import { runningService, servicePlaces } from "../../services/service-record.ts";
import { nodeInContainer, nodeState } from "../classic/node-state.ts";
import { duration } from "../classic/status.ts";
import { commandOfForms } from "../classic/usage-forms.ts";
import type { CalicoctlContext, Command } from "../command.ts";
import { askBird, birdSocket } from "../modern/bird-status.ts";
import { masterKey } from "./master.ts";

const seedStatusUsage = `Usage:
  calicoctl status [--etcd=<HOST:PORT>]
`;

export const seedStatusHelp = `With --etcd, in the first release's words: the master, what runs on this host, and BGP sessions.

${seedStatusUsage}
Examples:
  calicoctl status --etcd=10.0.0.10:2379
`;

export const seedStatus: Command = commandOfForms(seedStatusUsage, [{ words: "", run: showSeedStatus }]);

async function showSeedStatus(context: CalicoctlContext): Promise<number> {
  const { io } = context;
  const master = await (await context.store()).get(masterKey);
  io.stdout(`Currently configured master is ${master?.value ?? "None"}\n`);
  const lines = [...(await serviceLines(context)), ...(await containerLines(context))];
  io.stdout(lines.length === 0 ? "No calico containers appear to be running\n" : lines.join(""));
  const state = await nodeState(context);
  if (state.kind === "away") io.stdout("Skipping felix version information as Calico node isn't running\n");
  else io.stdout(`margay node ${version}${state.kind === "waiting" ? `, not ready: ${state.because}` : ""}\n`);
  io.stdout(await birdText(context));
  return 0;
}

async function birdText({ clock }: CalicoctlContext): Promise<string> {
  const socket = birdSocket(4);
  try {
    if (socket !== undefined) return await askBird(socket, clock);
  } catch {
    // said below
  }
  return "Couldn't collect BGP Peer information\n";
}

async function serviceLines({ io, clock }: CalicoctlContext): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const name of ["store", "node"] as const) {
    const service = await runningService(servicePlaces(io.env), name);
    if (service === undefined) continue;
    const { id, startedAtMs, supervisor } = service;
    const up = `Up ${duration(clock.nowMs() - startedAtMs)}`;
    lines.push(`${id.slice(0, 12)}   margay ${name}   ${up}   calico-${name} (process ${supervisor.pid})\n`);
  }
  return lines;
}

async function containerLines(context: CalicoctlContext): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const name of ["calico-master", "calico-node"]) {
    const found = await nodeInContainer(context, name);
    if (found?.State === "running")
      lines.push(`${found.Id.slice(0, 12)}   ${found.Image}   ${found.Status}   ${name}\n`);
  }
  return lines;
}
