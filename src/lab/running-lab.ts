/** What other processes may do with a lab that somebody else supervises: look at it, enter it, cut links, take it down. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { outsideName } from "./address-plan.ts";
import { labTraces, removeLab } from "./clean-up.ts";
import { mustRun } from "./command.ts";
import { enterNetworkWords, pathInHost, processAlive, processStart } from "./host-namespaces.ts";
import { execEnvironment, execWords } from "./lab-exec.ts";
import { LabLock } from "./lab-lock.ts";
import { hostOf, type LabState, labFolder, mustReadLabState, readLabState, type ServiceState } from "./lab-state.ts";
import { commandPath } from "./prerequisites.ts";
import { portName, setLink } from "./switch-network.ts";

/** A supervisor that does not end within this time is killed; nothing depends on its good will. */
const politeMs = 20_000;

/** Answers false when there was nothing to take down. */
export async function takeDownLab(name: string): Promise<boolean> {
  let lock = LabLock.try(name);
  if (lock !== undefined && (await labTraces(name)).length === 0) {
    lock[Symbol.dispose]();
    return false;
  }
  if (lock === undefined) {
    const supervisor = readLabState(name)?.supervisor;
    await signalSupervisor(supervisor, "SIGTERM");
    lock = await LabLock.wait(name, politeMs).catch(async () => {
      await signalSupervisor(supervisor, "SIGKILL");
      return LabLock.wait(name, 5_000);
    });
  }
  using _held = lock;
  await removeLab(name);
  return true;
}

async function signalSupervisor(supervisor: LabState["supervisor"] | undefined, signal: NodeJS.Signals): Promise<void> {
  if (supervisor === undefined || !(await supervised(supervisor))) return;
  process.kill(supervisor.pid, signal);
}

async function supervised({ pid, start }: LabState["supervisor"]): Promise<boolean> {
  return processAlive(pid) && (await processStart(pid)) === start;
}

export interface LabView extends LabState {
  /** False after a kill -9 of the supervisor: services are no longer restarted. */
  readonly supervised: boolean;
  readonly links: Readonly<Record<string, "up" | "cut" | "gone">>;
}

export async function viewLab(name: string): Promise<LabView> {
  const state = mustReadLabState(name);
  const up = await linksUp(state);
  const links = Object.fromEntries(
    state.hosts.map(
      ({ name: host, pid }) => [host, !processAlive(pid) ? "gone" : up.has(host) ? "up" : "cut"] as const,
    ),
  );
  if (await supervised(state.supervisor)) return { ...state, supervised: true, links };
  const hosts = state.hosts.map((host) => ({ ...host, services: host.services.map(asItIsNow) }));
  return { ...state, hosts, supervised: false, links };
}

/** Without a supervisor nobody writes down that a service has ended. */
function asItIsNow(service: ServiceState): ServiceState {
  if (service.pid === undefined || processAlive(service.pid)) return service;
  return { ...service, phase: "stopped", reason: "its process has ended" };
}

async function linksUp(state: LabState): Promise<ReadonlySet<string>> {
  if (!processAlive(state.switchPid)) return new Set();
  const text = await mustRun([...enterNetworkWords(state.switchPid), commandPath("ip") ?? "ip", "-j", "link", "show"]);
  const links: readonly { ifname?: string; flags?: readonly string[] }[] = JSON.parse(text);
  const up = new Set(links.filter((link) => link.flags?.includes("UP")).map((link) => link.ifname));
  return new Set(state.hosts.map((host) => host.name).filter((host) => up.has(portName(host))));
}

export async function setHostLink(name: string, host: string, up: boolean): Promise<void> {
  const state = mustReadLabState(name);
  await setLink(state.switchPid, hostOf(state, host).name, up);
}

/** Gives the command our own input, output and terminal; answers its exit code. */
export async function execOnHost(name: string, host: string, words: readonly string[]): Promise<number> {
  const state = mustReadLabState(name);
  const pid = host === outsideName ? state.switchPid : hostOf(state, host).pid;
  if (!processAlive(pid)) {
    throw new OperationError("LAB_HOST_GONE", `${host} of lab "${name}" is gone`, {
      remedy: `margay lab down --name ${name}`,
    });
  }
  const cwd = process.cwd();
  const env = execEnvironment({ pid, lab: name, storeEndpoint: state.storeEndpoint }, process.env);
  const child = Bun.spawn([...execWords(pid, words, existsSync(pathInHost(pid, cwd)) ? cwd : "/")], {
    stdio: ["inherit", "inherit", "inherit"],
    env: { ...env },
  });
  const exitCode = await child.exited;
  return exitCode;
}

export interface ServiceLog {
  readonly service: string;
  readonly path: string;
}

/** The logs of a host's services, or of the one that is asked for. */
export function serviceLogs(name: string, host: string, service: string | undefined): readonly ServiceLog[] {
  const state = mustReadLabState(name);
  const folder = join(labFolder(name), hostOf(state, host).name, "log");
  const logs = readdirSync(folder)
    .filter((file) => file.endsWith(".log"))
    .map((file) => ({ service: file.slice(0, -".log".length), path: join(folder, file) }));
  if (service === undefined) return logs;
  const found = logs.filter((log) => log.service === service);
  if (found.length > 0) return found;
  const there = logs.map((log) => log.service).join(", ");
  throw new OperationError("LAB_NO_SUCH_SERVICE", `${host} has no service "${service}"; it has: ${there}`);
}

/** Waits until the state file says that a lab is up, or its maker has ended. For `up --detach`. */
export async function untilUp(
  name: string,
  maker: { readonly pid: number; readonly exited: Promise<number> },
): Promise<boolean> {
  let ended = false;
  void maker.exited.then(() => {
    ended = true;
  });
  while (!ended) {
    const state = readLabState(name);
    if (state?.phase === "up" && state.supervisor.pid === maker.pid) return true;
    await systemClock.sleep(50);
  }
  return false;
}

export function supervisorLog(name: string): string {
  return join(labFolder(name), "supervisor.log");
}
