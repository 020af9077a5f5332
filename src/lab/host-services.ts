/**
 * Which services run on which host of a lab, how they are called, and when they count as ready.
 * The order is in `after`: a Docker daemon asks its network driver while it starts, so `node` comes first; `node` needs
 * the store. Once up, each is restarted alone.
 */

import { statfsSync } from "node:fs";
import { OperationError, unreachable } from "../base/errors.ts";
import type { AddressPlan, HostPlan } from "./address-plan.ts";
import { cgroupParent } from "./clean-up.ts";
import { connectOnHost, httpGetOnHost } from "./host-connection.ts";
import { pathInHost } from "./host-namespaces.ts";
import { labFolder } from "./lab-state.ts";
import { commandPath, type StoreKind } from "./prerequisites.ts";
import { programWords } from "./program.ts";
import type { ServiceDefinition } from "./service.ts";

export interface PlacedService extends ServiceDefinition {
  readonly host: string;
  /** Names "host/service" of services that must be ready before the first start of this one. */
  readonly after: readonly string[];
}

/** "network": store, node and Docker; "docker": no more than a Docker daemon per host; "none": bare hosts. */
export type LabParts = "all" | "network" | "docker" | "none";

export interface HostServicesOptions {
  readonly lab: string;
  readonly plan: AddressPlan;
  readonly store: StoreKind;
  readonly storeEndpoint: string;
  readonly parts: LabParts;
  readonly nodeEnvironment: Readonly<Record<string, string>>;
  /** Process ids of the hosts' holders. */
  readonly pids: ReadonlyMap<string, number>;
}

export const apiPort = 8080;
export const masterPort = 5050;
export const storePort = 2379;

/** On two busy cores even a simple start takes its time. */
const readyWithinMs = 60_000;

export function hostServices(options: HostServicesOptions): readonly PlacedService[] {
  const [first] = options.plan.hosts;
  if (first === undefined) return [];
  const central = { store: store(options, first), master: master(options, first), marathon: marathon(options, first) };
  const onEach = (pick: (host: HostPlan) => readonly PlacedService[]) => options.plan.hosts.flatMap(pick);
  switch (options.parts) {
    case "none":
      return [];
    case "docker":
      return onEach((host) => [docker(options, host)]);
    case "network":
      return [central.store, ...onEach((host) => [node(options, host), docker(options, host)])];
    case "all":
      return [
        ...Object.values(central),
        ...onEach((host) => [node(options, host), docker(options, host), agent(options, host, first)]),
      ];
    default:
      return unreachable(options.parts);
  }
}

function store({ plan, store, storeEndpoint, pids }: HostServicesOptions, host: HostPlan): PlacedService {
  const listen = `http://127.0.0.1:${storePort},${storeEndpoint}`;
  const peer = "http://127.0.0.1:2380";
  const etcd = [
    ...[commandPath("etcd") ?? "etcd", "--name=lab", "--data-dir=/var/lib/margay/etcd", "--log-level=warn"],
    ...[`--listen-client-urls=${listen}`, `--advertise-client-urls=${storeEndpoint}`, `--listen-peer-urls=${peer}`],
    ...[`--initial-advertise-peer-urls=${peer}`, `--initial-cluster=lab=${peer}`],
  ];
  return {
    name: "store",
    host: host.name,
    after: [],
    words: store === "etcd" ? etcd : margay("store", `--listen=${listen}`, "--data-dir=/var/lib/margay/store"),
    probe: () => connectOnHost(pidOf(pids, host), plan.hosts[0]?.address ?? host.address, storePort),
    readyWithinMs,
  };
}

function node({ plan, storeEndpoint, pids, nodeEnvironment }: HostServicesOptions, host: HostPlan): PlacedService {
  return {
    name: "node",
    host: host.name,
    after: [`${plan.hosts[0]?.name}/store`],
    env: nodeEnvironment,
    words: margay("node", `--name=${host.name}`, `--ip=${host.address}`, `--store=${storeEndpoint}`),
    probe: httpProbe(pids, host, "127.0.0.1", 9099, "/readiness"),
    readyWithinMs,
  };
}

function docker({ lab, parts, pids }: HostServicesOptions, host: HostPlan): PlacedService {
  return {
    name: "docker",
    host: host.name,
    after: parts === "docker" ? [] : [`${host.name}/node`],
    words: [
      ...[commandPath("dockerd") ?? "dockerd", "--host=unix:///run/docker.sock", "--data-root=/var/lib/docker"],
      ...["--exec-root=/run/docker", "--pidfile=/run/docker.pid", "--log-level=warn"],
      `--storage-driver=${storageDriver(lab)}`,
      // A container that outlives its daemon is what the guide's "dockerd is killed" is about.
      "--live-restore",
      // The lab is not on systemd, whatever the machine is on.
      ...["--exec-opt=native.cgroupdriver=cgroupfs", `--cgroup-parent=${cgroupParent(lab, host.name)}`],
      // Docker's own pools contain 192.168.0.0/16, which is the containers' pool here, and 172.31.0.0/16, the hosts'.
      "--default-address-pool=base=172.18.0.0/16,size=24",
      "--insecure-registry=0.0.0.0/0",
    ],
    // Process ids are small numbers on a virtual host: that of a killed daemon may soon be another program's.
    removeBefore: ["/run/docker.pid", "/run/docker/containerd/containerd.pid"],
    probe: (signal) => dockerPing(pidOf(pids, host), signal),
    readyWithinMs,
  };
}

/** Docker's own choice falls on vfs, which copies every layer, when it cannot load a module that is built in. */
function storageDriver(lab: string): "overlay2" | "vfs" {
  const overlayfsMagic = 0x794c7630;
  // An overlay cannot be stacked on an overlay (as in a container without a volume).
  return statfsSync(labFolder(lab)).type === overlayfsMagic ? "vfs" : "overlay2";
}

function agent({ pids }: HostServicesOptions, host: HostPlan, first: HostPlan): PlacedService {
  return {
    name: "agent",
    host: host.name,
    after: [`${host.name}/docker`, `${first.name}/master`],
    words: margay(
      ...["agent", `--master=http://${first.address}:${masterPort}`, `--ip=${host.address}`, "--port=5051"],
      ...["--work_dir=/var/lib/margay/agent", `--hostname=${host.name}`],
      // A lab's disks are small: what a finished task leaves goes soon.
      "--docker_remove_delay=1mins",
    ),
    probe: httpProbe(pids, host, host.address, 5051, "/health"),
    readyWithinMs,
  };
}

function master({ storeEndpoint, pids, plan }: HostServicesOptions, host: HostPlan): PlacedService {
  return {
    name: "master",
    host: host.name,
    after: [`${plan.hosts[0]?.name}/store`],
    words: margay(
      ...["master", `--ip=${host.address}`, `--port=${masterPort}`, "--work_dir=/var/lib/margay/master"],
      `--store=${storeEndpoint}`,
      // Mesos' 15secs times 5 make a cut host a matter of minutes; in a lab one wants to see what happens.
      ...["--agent_ping_timeout=2secs", "--max_agent_ping_timeouts=5"],
    ),
    probe: httpProbe(pids, host, host.address, masterPort, "/health"),
    readyWithinMs,
  };
}

function marathon({ storeEndpoint, pids, plan }: HostServicesOptions, host: HostPlan): PlacedService {
  return {
    name: "marathon",
    host: host.name,
    after: [`${plan.hosts[0]?.name}/master`],
    words: margay(
      ...["marathon", `--master=http://${host.address}:${masterPort}`, "--http_address=127.0.0.1"],
      ...[`--http_port=${apiPort}`, `--store=${storeEndpoint}`, `--hostname=${host.name}`],
    ),
    probe: httpProbe(pids, host, "127.0.0.1", apiPort, "/ping"),
    readyWithinMs,
  };
}

function margay(...words: readonly string[]): readonly string[] {
  return [...programWords, ...words];
}

function pidOf(pids: ReadonlyMap<string, number>, host: HostPlan): number {
  const pid = pids.get(host.name);
  if (pid === undefined) throw new OperationError("LAB_NO_SUCH_HOST", `${host.name} has no namespaces`);
  return pid;
}

function httpProbe(
  pids: ReadonlyMap<string, number>,
  host: HostPlan,
  address: string,
  port: number,
  path: string,
): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const { status, body } = await httpGetOnHost(pidOf(pids, host), address, port, path, signal);
    if (status < 200 || status > 299) {
      const said = body.trim().slice(0, 200);
      throw new OperationError("LAB_NOT_READY", `port ${port} answers ${path} with ${status}${said && `: ${said}`}`);
    }
  };
}

async function dockerPing(hostPid: number, signal: AbortSignal): Promise<void> {
  const response = await fetch("http://docker/_ping", { unix: pathInHost(hostPid, "/run/docker.sock"), signal });
  const body = await response.text();
  if (!response.ok) throw new OperationError("LAB_NOT_READY", `Docker answers ${response.status}: ${body}`);
}
