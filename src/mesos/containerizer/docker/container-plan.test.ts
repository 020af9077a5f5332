/** The create body of each kind of task, row by row of reference/docker.md 6.2 and 6.3 (checks D65 to D70, D77). */

import { describe, expect, test } from "bun:test";
import type { ContainerInfo, DockerInfo } from "../../protocol/container-info.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import { containerIdOfName } from "./container-names.ts";
import { type ContainerPlan, type PlanContext, planContainer } from "./container-plan.ts";
import { parseDefaultDns } from "./default-dns.ts";
import { LaunchRefused } from "./launch-refused.ts";

const containerId = "0f3c1a52-6f0e-4e0c-9f52-2b6a1c0e9d11";
const context: PlanContext = {
  containerId,
  agentId: "agent-1",
  frameworkId: "framework-1",
  allocationRole: "*",
  sandboxDirectory: "/sandbox",
  mappedDirectory: "/mnt/mesos/sandbox",
  hostMemoryBytes: 8 * 1024 ** 3,
  cfsEnabled: false,
  defaultDns: [],
  envFiles: new Map([["/etc/env", "# comment\nFROM_FILE=yes\nBARE\n"]]),
};
const sandboxBind = "/sandbox:/mnt/mesos/sandbox";

interface Change extends Partial<Omit<TaskInfo, "container">> {
  readonly docker?: Partial<DockerInfo>;
  readonly container?: Partial<ContainerInfo>;
  readonly context?: Partial<PlanContext>;
}

function plan(change: Change = {}): ContainerPlan {
  const { docker, container, context: changed, ...rest } = change;
  const task: TaskInfo = {
    name: "web",
    task_id: { value: "web.1" },
    agent_id: { value: "agent-1" },
    resources: [
      { name: "cpus", type: "SCALAR", scalar: { value: 0.1 } },
      { name: "mem", type: "SCALAR", scalar: { value: 64 } },
      { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31000, end: 31001 }] } },
    ],
    command: { shell: false },
    ...rest,
    container: { type: "DOCKER", ...container, docker: { image: "nginx", ...docker } },
  };
  return planContainer(task, { ...context, ...changed });
}

const mib = 1024 * 1024;
const resources = (cpus: number, mem: number): Pick<TaskInfo, "resources"> => ({
  resources: [
    { name: "cpus", type: "SCALAR", scalar: { value: cpus } },
    { name: "mem", type: "SCALAR", scalar: { value: mem } },
  ],
});
const parameters = (...pairs: readonly (readonly [string, string])[]): Partial<DockerInfo> => ({
  parameters: pairs.map(([key, value]) => ({ key, value })),
});

test("the plainest task: image's own command on the host's network, marked as ours", () => {
  const { name, image, forcePull, body } = plan();
  expect({ name, image, forcePull }).toEqual({ name: `mesos-${containerId}`, image: "nginx", forcePull: false });
  expect(body).toEqual({
    Image: "nginx",
    Env: ["MESOS_SANDBOX=/mnt/mesos/sandbox", `MESOS_CONTAINER_NAME=mesos-${containerId}`, "MESOS_ALLOCATION_ROLE=*"],
    Labels: {
      "org.margay.agent": "agent-1",
      "org.margay.framework": "framework-1",
      "org.margay.task": "web.1",
      "org.margay.container": containerId,
    },
    HostConfig: {
      NetworkMode: "host",
      RestartPolicy: { Name: "no" },
      CpuShares: 102,
      Memory: 64 * mib,
      Binds: [sandboxBind],
    },
  });
});

describe("limits", () => {
  const rows: readonly [string, Change, Partial<ContainerPlan["body"]["HostConfig"]>][] = [
    ["cpus 0.1 are 102 shares", resources(0.1, 64), { CpuShares: 102 }],
    ["cpus 0.001 are the least there is", resources(0.001, 64), { CpuShares: 2 }],
    ["mem 16 is raised to 32 MiB", resources(1, 16), { Memory: 33554432 }],
    [
      "cfs turns cpus into a quota",
      { ...resources(0.5, 64), context: { cfsEnabled: true } },
      { CpuQuota: 50000, CpuPeriod: 100000 },
    ],
    [
      "a quota is at least 1 ms",
      { ...resources(0.001, 64), context: { cfsEnabled: true } },
      { CpuQuota: 1000, CpuPeriod: 100000 },
    ],
    [
      "limits above the request: reservation, limit, and a better chance to be killed first",
      { ...resources(1, 1024), limits: { cpus: { value: 2 }, mem: { value: 2048 } } },
      { CpuQuota: 200000, MemoryReservation: 1024 * mib, Memory: 2048 * mib, OomScoreAdj: 875 },
    ],
  ];
  for (const [name, change, expected] of rows) {
    test(name, () => {
      expect(plan(change).body.HostConfig).toMatchObject(expected);
    });
  }
  test("an infinite memory limit sets none", () => {
    const { HostConfig } = plan({ ...resources(1, 1024), limits: { mem: { value: Number.POSITIVE_INFINITY } } }).body;
    expect(HostConfig.Memory).toBeUndefined();
    expect(HostConfig.MemoryReservation).toBe(1024 * mib);
  });
});

describe("commands", () => {
  const rows: readonly [string, TaskInfo["command"], string[] | undefined, string[] | undefined][] = [
    ["shell drops the image's entrypoint", { value: "echo $A" }, ["/bin/sh"], ["-c", "echo $A"]],
    ["non-shell keeps it", { shell: false, value: "serve", arguments: ["-p", "80"] }, undefined, ["serve", "-p", "80"]],
    ["arguments alone", { shell: false, arguments: ["x"] }, undefined, ["x"]],
    ["neither runs the image's own", { shell: false }, undefined, undefined],
  ];
  for (const [name, command, entrypoint, words] of rows) {
    test(name, () => {
      const { body } = plan({ command });
      expect([body.Entrypoint, body.Cmd]).toEqual([entrypoint, words]);
    });
  }
});

test("an env parameter wins over the command, and the agent's own variables over all", () => {
  const { body } = plan({
    command: {
      shell: false,
      environment: {
        variables: [
          { name: "A", value: "command" },
          { name: "MESOS_SANDBOX", value: "lie" },
          { name: "S", type: "SECRET", secret: { type: "VALUE", value: { data: "c2VjcmV0" } } },
        ],
      },
    },
    docker: parameters(["env", "A=parameter"], ["env-file", "/etc/env"]),
  });
  expect(body.Env).toEqual([
    "A=parameter",
    "MESOS_SANDBOX=/mnt/mesos/sandbox",
    "S=secret",
    "FROM_FILE=yes",
    `MESOS_CONTAINER_NAME=mesos-${containerId}`,
    "MESOS_ALLOCATION_ROLE=*",
  ]);
});

describe("networks", () => {
  test("USER takes the NetworkInfo's name, address and labels", () => {
    const { body, network } = plan({
      docker: { network: "USER" },
      labels: {
        labels: [
          { key: "tier", value: "task" },
          { key: "zone", value: "a" },
          { key: "HAPROXY!", value: "x" },
        ],
      },
      container: {
        network_infos: [
          {
            name: "my-calico-net",
            ip_addresses: [{ ip_address: "192.168.3.7" }],
            labels: { labels: [{ key: "tier", value: "network" }] },
          },
        ],
      },
    });
    expect(network).toMatchObject({ network: "my-calico-net", userDefined: true });
    expect(body.HostConfig.NetworkMode).toBe("my-calico-net");
    expect(body.NetworkingConfig?.EndpointsConfig["my-calico-net"]).toEqual({
      IPAMConfig: { IPv4Address: "192.168.3.7" },
      DriverOpts: { "org.projectcalico.label.tier": "network", "org.projectcalico.label.zone": "a" },
    });
  });
  for (const key of ["net", "network", "--net"]) {
    test(`the parameter ${key} replaces the mode`, () => {
      const { body } = plan({ docker: parameters([key, "my-calico-net"], ["ip", "192.168.3.9"]) });
      expect(body.HostConfig.NetworkMode).toBe("my-calico-net");
      expect(body.NetworkingConfig?.EndpointsConfig["my-calico-net"]).toEqual({
        IPAMConfig: { IPv4Address: "192.168.3.9" },
      });
    });
  }
  test("bridge with port mappings", () => {
    const { body } = plan({
      docker: { network: "BRIDGE", port_mappings: [{ host_port: 31001, container_port: 80, protocol: "TCP" }] },
    });
    expect(body.HostConfig.PortBindings).toEqual({ "80/tcp": [{ HostIp: "", HostPort: "31001" }] });
    expect(body.ExposedPorts).toEqual({ "80/tcp": {} });
    expect(body.NetworkingConfig).toBeUndefined();
  });
});

test("default name servers follow the network, unless the task names its own", () => {
  const defaultDns = parseDefaultDns(
    '{"docker":[{"network_mode":"BRIDGE","dns":{"nameservers":["8.8.8.8"]}},' +
      '{"network_mode":"USER","dns":{"nameservers":["10.0.0.1"]}},' +
      '{"network_mode":"USER","network_name":"n1","dns":{"nameservers":["10.0.0.2"],"search":["x"]}}]}',
  );
  const dnsOf = (docker: Partial<DockerInfo>) => plan({ docker, context: { defaultDns } }).body.HostConfig;
  expect(dnsOf({ network: "BRIDGE" }).Dns).toEqual(["8.8.8.8"]);
  expect(dnsOf(parameters(["net", "n1"]))).toMatchObject({ Dns: ["10.0.0.2"], DnsSearch: ["x"] });
  expect(dnsOf(parameters(["net", "n2"])).Dns).toEqual(["10.0.0.1"]);
  expect(dnsOf(parameters(["net", "n2"], ["dns", "1.1.1.1"])).Dns).toEqual(["1.1.1.1"]);
  expect(dnsOf({ network: "HOST" }).Dns).toBeUndefined();
});

describe("volumes", () => {
  const bind = (volume: Record<string, unknown>, docker: Partial<DockerInfo> = {}) =>
    plan({ docker, container: { volumes: [volume as never] } }).body.HostConfig;
  const rows: readonly [string, Record<string, unknown>, string][] = [
    ["absolute both", { mode: "RW", host_path: "/srv", container_path: "/data" }, "/srv:/data:rw"],
    ["inside relative", { mode: "RO", host_path: "/srv", container_path: "data" }, "/srv:/mnt/mesos/sandbox/data:ro"],
    ["host relative", { mode: "RW", host_path: "files", container_path: "/data" }, "/sandbox/files:/data:rw"],
    [
      "a named volume",
      { mode: "RW", container_path: "/data", source: { type: "DOCKER_VOLUME", docker_volume: { name: "v1" } } },
      "v1:/data:rw",
    ],
  ];
  for (const [name, volume, expected] of rows) {
    test(`${name}, the sandbox last`, () => {
      expect(bind(volume).Binds).toEqual([expected, sandboxBind]);
    });
  }
  test("with a volume driver a relative host path is a volume's name", () => {
    const config = bind({ mode: "RW", host_path: "v", container_path: "/data" }, { volume_driver: "rexray" });
    expect(config.Binds).toEqual(["v:/data:rw", sandboxBind]);
    expect(config.VolumeDriver).toBe("rexray");
  });
});

describe("parameters of docker run", () => {
  const rows: readonly [string, string, unknown][] = [
    ["label", "a=b", { Labels: expect.objectContaining({ a: "b" }) }],
    ["volume", "/a:/b:ro", { HostConfig: { Binds: ["/a:/b:ro", sandboxBind] } }],
    ["mount", "type=tmpfs,target=/run,tmpfs-size=1m", { HostConfig: { Mounts: [{ Type: "tmpfs", Target: "/run" }] } }],
    ["hostname", "web-1", { Hostname: "web-1" }],
    ["add-host", "db:10.0.0.9", { HostConfig: { ExtraHosts: ["db:10.0.0.9"] } }],
    ["privileged", "", { HostConfig: { Privileged: true } }],
    ["cap-add", "NET_ADMIN", { HostConfig: { CapAdd: ["NET_ADMIN"] } }],
    ["ulimit", "nofile=1024:4096", { HostConfig: { Ulimits: [{ Name: "nofile", Soft: 1024, Hard: 4096 }] } }],
    ["log-driver", "none", { HostConfig: { LogConfig: { Type: "none" } } }],
    ["log-opt", "max-size=1m", { HostConfig: { LogConfig: { Config: { "max-size": "1m" } } } }],
    ["user", "1000:1000", { User: "1000:1000" }],
    ["entrypoint", "/bin/x", { Entrypoint: ["/bin/x"] }],
    ["u", "nobody", { User: "nobody" }],
    ["v", "/a:/b", { HostConfig: { Binds: ["/a:/b", sandboxBind] } }],
    ["memory", "64m", { HostConfig: { Memory: 64 * mib } }],
    ["cpus", "1.5", { HostConfig: { NanoCpus: 1_500_000_000 } }],
    ["shm-size", "64m", { HostConfig: { ShmSize: 64 * mib } }],
    ["device", "/dev/fuse", { HostConfig: { Devices: [{ PathInContainer: "/dev/fuse", CgroupPermissions: "rwm" }] } }],
    ["sysctl", "net.core.somaxconn=1", { HostConfig: { Sysctls: { "net.core.somaxconn": "1" } } }],
    ["publish", "127.0.0.1:8080:80", { HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "8080" }] } } }],
    ["tmpfs", "/tmp:rw,size=64m", { HostConfig: { Tmpfs: { "/tmp": "rw,size=64m" } } }],
    ["health-interval", "1m30s", { Healthcheck: { Interval: 90_000_000_000 } }],
    ["stop-signal", "SIGQUIT", { StopSignal: "SIGQUIT" }],
    ["read-only", "true", { HostConfig: { ReadonlyRootfs: true } }],
  ];
  for (const [key, value, expected] of rows) {
    test(`--${key}=${value}`, () => {
      expect(plan({ docker: parameters([key, value]) }).body).toMatchObject(expected as never);
    });
  }
  test("rm and restart have no effect, and say so", () => {
    const { body, notices } = plan({ docker: parameters(["rm", "true"], ["restart", "always"]) });
    expect(body.HostConfig.RestartPolicy).toEqual({ Name: "no" });
    expect(notices).toHaveLength(2);
  });
  test("a label of the user cannot claim another agent", () => {
    const { body } = plan({ docker: parameters(["label", "org.margay.agent=other"]) });
    expect(body.Labels["org.margay.agent"]).toBe("agent-1");
  });
});

describe("refused, in Mesos' words", () => {
  const port = [{ host_port: 31000, container_port: 80 }];
  const rows: readonly [string, Change][] = [
    ["No network info found in container info", { docker: { network: "USER" } }],
    [
      "Only a single network can be defined in Docker run",
      { docker: { network: "USER" }, container: { network_infos: [{ name: "a" }, { name: "b" }] } },
    ],
    ["No network name found in network info", { docker: { network: "USER" }, container: { network_infos: [{}] } }],
    ["Unable to set hostname with host network mode", { container: { hostname: "web" } }],
    ["Port mappings are only supported for bridge and user-defined networks", { docker: { port_mappings: port } }],
    [
      "Port mappings are only supported for bridge and user-defined networks",
      { docker: { port_mappings: port, ...parameters(["net", "my-calico-net"]) } },
    ],
    ["Port mappings require resources", { resources: [], docker: { network: "BRIDGE", port_mappings: port } }],
    [
      "Port mappings require port resources",
      { ...resources(1, 64), docker: { network: "BRIDGE", port_mappings: port } },
    ],
    [
      "Port [80] not included in resources",
      { docker: { network: "BRIDGE", port_mappings: [{ host_port: 80, container_port: 80 }] } },
    ],
    [
      "Both host_path 'a' and container_path 'b' of a volume are relative",
      { container: { volumes: [{ mode: "RW", host_path: "a", container_path: "b" }] } },
    ],
    ["Host path or volume source is required", { container: { volumes: [{ mode: "RW", container_path: "/b" }] } }],
    ["Shell specified but no command value provided", { command: {} }],
    ['Unknown docker parameter "colour"', { docker: parameters(["colour", "red"]) }],
    ['Unknown docker parameter "constructor"', { docker: parameters(["constructor", ""]) }],
    [
      'Invalid value "64 horses" for docker parameter "memory": expected a size such as 64m',
      { docker: parameters(["memory", "64 horses"]) },
    ],
    [
      "Volume path '../x' leaves the sandbox",
      { container: { volumes: [{ mode: "RW", host_path: "../x", container_path: "/b" }] } },
    ],
  ];
  for (const [text, change] of rows) {
    test(text, () => {
      expect(() => plan(change)).toThrow(new LaunchRefused(text));
    });
  }
});

describe("names of containers", () => {
  const rows: readonly [string, string | undefined][] = [
    [`/mesos-${containerId}`, containerId],
    [`mesos-a1b2-S0.${containerId}`, containerId],
    [`mesos-${containerId}.executor`, containerId],
    ["mesos-web", undefined],
    ["web", undefined],
  ];
  for (const [name, expected] of rows) {
    test(`${name} ${expected === undefined ? "is not an agent's" : "is an agent's"}`, () => {
      expect(containerIdOfName(name)).toBe(expected);
    });
  }
});
