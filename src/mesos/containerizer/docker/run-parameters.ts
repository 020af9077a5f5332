/**
 * `container.docker.parameters`: options of `docker run` by their long or short names, which Mesos appended unchecked to
 * a command line and this containerizer translates into the create body. A name this table does not know fails the
 * launch with a clear text: silently dropping a security option would run the task with more rights than was asked for.
 * Pure: `env-file` contents are read beforehand and handed in.
 */

import type { ContainerCreateBody, EndpointConfig, HealthcheckConfig, HostConfig, MountConfig } from "./create-body.ts";
import { LaunchRefused } from "./launch-refused.ts";
import {
  parseDecimal,
  parseDevice,
  parseEnvFile,
  parseGoDuration,
  parseInteger,
  parsePair,
  parsePublish,
  parseSize,
  parseSwitch,
  parseUlimit,
  refuseValue,
} from "./run-values.ts";

/** What is being put together; `container-plan.ts` starts it and turns it into the final body. */
export interface ContainerDraft {
  readonly body: ContainerCreateBody;
  /** A map, so that the last one to set a variable wins whatever the image's libc does with doubled names. */
  readonly env: Map<string, string>;
  readonly endpoint: EndpointConfig;
  readonly envFiles: ReadonlyMap<string, string>;
  /** What was understood but has no effect; shown in the sandbox's stderr. */
  readonly notices: string[];
}

type Apply = (draft: ContainerDraft, value: string, key: string) => void;
type HostOf<Wanted> = {
  [Field in keyof HostConfig]-?: Wanted extends HostConfig[Field] ? Field : never;
}[keyof HostConfig];

/** The kinds of options there are: most only put their value into one field of HostConfig. */
const host =
  (apply: (host: HostConfig, value: string, key: string) => void): Apply =>
  (draft, value, key) =>
    apply(draft.body.HostConfig, value, key);
const append = (field: HostOf<string[]>): Apply =>
  host((config, value) => {
    config[field] = [...(config[field] ?? []), value];
  });
const text = (field: Exclude<HostOf<string>, "NetworkMode">): Apply =>
  host((config, value) => {
    config[field] = value;
  });
const integer = (field: HostOf<number>): Apply =>
  host((config, value, key) => {
    config[field] = parseInteger(key, value);
  });
const size = (field: HostOf<number>): Apply =>
  host((config, value, key) => {
    config[field] = value === "-1" ? -1 : parseSize(key, value);
  });
const onOff = (field: HostOf<boolean>): Apply =>
  host((config, value, key) => {
    config[field] = parseSwitch(key, value);
  });
const bodyText =
  (field: "Hostname" | "Domainname" | "User" | "WorkingDir" | "StopSignal" | "MacAddress"): Apply =>
  (draft, value) => {
    draft.body[field] = value;
  };
const healthcheck =
  (fields: (value: string, key: string) => HealthcheckConfig): Apply =>
  (draft, value, key) => {
    draft.body.Healthcheck = { ...draft.body.Healthcheck, ...fields(value, key) };
  };
const ignored: Apply = (draft, _value, key) => {
  draft.notices.push(`docker parameter "${key}" has no effect: the agent decides when a task ends and starts`);
};

const options: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ["env", (draft, value, key) => void draft.env.set(...parsePair(key, value))],
  [
    "env-file",
    (draft, value) => {
      const content = draft.envFiles.get(value);
      if (content === undefined) throw new LaunchRefused(`Cannot read env-file "${value}" on the agent`);
      for (const [name, setting] of parseEnvFile(content)) draft.env.set(name, setting);
    },
  ],
  [
    "label",
    (draft, value, key) => {
      const [name, content] = parsePair(key, value);
      draft.body.Labels[name] = content;
    },
  ],

  ["volume", append("Binds")],
  [
    "mount",
    host((config, value, key) => {
      config.Mounts = [...(config.Mounts ?? []), parseMount(key, value)];
    }),
  ],
  [
    "tmpfs",
    host((config, value) => {
      const [path = "", ...rest] = value.split(":");
      config.Tmpfs = { ...config.Tmpfs, [path]: rest.join(":") };
    }),
  ],
  ["volumes-from", append("VolumesFrom")],
  [
    "volume-driver",
    host((config, value) => {
      if (config.VolumeDriver !== undefined && config.VolumeDriver !== value) {
        throw new LaunchRefused("Only one volume driver is supported");
      }
      config.VolumeDriver = value;
    }),
  ],

  [
    "ip",
    (draft, value) => {
      draft.endpoint.IPAMConfig = { ...draft.endpoint.IPAMConfig, IPv4Address: value };
    },
  ],
  [
    "ip6",
    (draft, value) => {
      draft.endpoint.IPAMConfig = { ...draft.endpoint.IPAMConfig, IPv6Address: value };
    },
  ],
  [
    "link-local-ip",
    (draft, value) => {
      const before = draft.endpoint.IPAMConfig;
      draft.endpoint.IPAMConfig = { ...before, LinkLocalIPs: [...(before?.LinkLocalIPs ?? []), value] };
    },
  ],
  [
    "network-alias",
    (draft, value) => {
      draft.endpoint.Aliases = [...(draft.endpoint.Aliases ?? []), value];
    },
  ],
  [
    "driver-opt",
    (draft, value, key) => {
      const [name, content] = parsePair(key, value);
      draft.endpoint.DriverOpts = { ...draft.endpoint.DriverOpts, [name]: content };
    },
  ],
  ["mac-address", bodyText("MacAddress")],
  ["link", append("Links")],
  ["hostname", bodyText("Hostname")],
  ["domainname", bodyText("Domainname")],
  ["add-host", append("ExtraHosts")],
  ["dns", append("Dns")],
  ["dns-search", append("DnsSearch")],
  ["dns-option", append("DnsOptions")],
  [
    "publish",
    (draft, value, key) => {
      const { port, hostIp, hostPort } = parsePublish(key, value);
      const before = draft.body.HostConfig.PortBindings;
      const binding = { HostIp: hostIp, HostPort: hostPort };
      draft.body.HostConfig.PortBindings = { ...before, [port]: [...(before?.[port] ?? []), binding] };
      draft.body.ExposedPorts = { ...draft.body.ExposedPorts, [port]: {} };
    },
  ],
  [
    "expose",
    (draft, value, key) => {
      if (!/^\d{1,5}(\/(tcp|udp|sctp))?$/.test(value)) refuseValue(key, value, "port[/protocol]");
      draft.body.ExposedPorts = { ...draft.body.ExposedPorts, [value.includes("/") ? value : `${value}/tcp`]: {} };
    },
  ],

  ["user", bodyText("User")],
  ["group-add", append("GroupAdd")],
  ["workdir", bodyText("WorkingDir")],
  [
    "entrypoint",
    (draft, value) => {
      // One empty word resets the image's entrypoint, as `--entrypoint=` does.
      draft.body.Entrypoint = [value];
    },
  ],
  ["cap-add", append("CapAdd")],
  ["cap-drop", append("CapDrop")],
  ["security-opt", append("SecurityOpt")],
  ["privileged", onOff("Privileged")],
  [
    "device",
    host((config, value, key) => {
      config.Devices = [...(config.Devices ?? []), parseDevice(key, value)];
    }),
  ],
  [
    "gpus",
    host((config, value, key) => {
      config.DeviceRequests = [...(config.DeviceRequests ?? []), parseGpus(key, value)];
    }),
  ],
  [
    "ulimit",
    host((config, value, key) => {
      config.Ulimits = [...(config.Ulimits ?? []), parseUlimit(key, value)];
    }),
  ],
  [
    "sysctl",
    host((config, value, key) => {
      const [name, content] = parsePair(key, value);
      config.Sysctls = { ...config.Sysctls, [name]: content };
    }),
  ],
  ["shm-size", size("ShmSize")],
  ["ipc", text("IpcMode")],
  ["pid", text("PidMode")],
  ["uts", text("UTSMode")],
  ["userns", text("UsernsMode")],
  ["read-only", onOff("ReadonlyRootfs")],
  ["init", onOff("Init")],
  [
    "log-driver",
    host((config, value) => {
      config.LogConfig = { Config: {}, ...config.LogConfig, Type: value };
    }),
  ],
  [
    "log-opt",
    host((config, value, key) => {
      const [name, content] = parsePair(key, value);
      // An empty type is the daemon's own default driver.
      config.LogConfig = { Type: "", ...config.LogConfig, Config: { ...config.LogConfig?.Config, [name]: content } };
    }),
  ],

  ["memory", size("Memory")],
  ["memory-reservation", size("MemoryReservation")],
  ["memory-swap", size("MemorySwap")],
  ["memory-swappiness", integer("MemorySwappiness")],
  [
    "cpus",
    host((config, value, key) => {
      config.NanoCpus = Math.round(parseDecimal(key, value) * 1e9);
    }),
  ],
  ["cpu-shares", integer("CpuShares")],
  ["cpu-period", integer("CpuPeriod")],
  ["cpu-quota", integer("CpuQuota")],
  ["cpuset-cpus", text("CpusetCpus")],
  ["cpuset-mems", text("CpusetMems")],
  ["pids-limit", integer("PidsLimit")],
  ["oom-kill-disable", onOff("OomKillDisable")],
  ["oom-score-adj", integer("OomScoreAdj")],
  ["blkio-weight", integer("BlkioWeight")],
  ["cgroup-parent", text("CgroupParent")],
  ["runtime", text("Runtime")],
  ["stop-signal", bodyText("StopSignal")],
  [
    "stop-timeout",
    (draft, value, key) => {
      draft.body.StopTimeout = parseInteger(key, value);
    },
  ],
  ["health-cmd", healthcheck((value) => ({ Test: ["CMD-SHELL", value] }))],
  ["health-interval", healthcheck((value, key) => ({ Interval: parseGoDuration(key, value) }))],
  ["health-timeout", healthcheck((value, key) => ({ Timeout: parseGoDuration(key, value) }))],
  ["health-start-period", healthcheck((value, key) => ({ StartPeriod: parseGoDuration(key, value) }))],
  ["health-retries", healthcheck((value, key) => ({ Retries: parseInteger(key, value) }))],
  ["no-healthcheck", healthcheck((value, key) => (parseSwitch(key, value) ? { Test: ["NONE"] } : {}))],
  [
    "platform",
    (draft, value) => {
      draft.notices.push(`docker parameter "platform" (${value}) has no effect: images are of the host's platform`);
    },
  ],
  [
    "tty",
    (draft, value, key) => {
      draft.body.Tty = parseSwitch(key, value);
    },
  ],
  [
    "interactive",
    (draft, value, key) => {
      draft.body.OpenStdin = parseSwitch(key, value);
    },
  ],
  ["restart", ignored],
  ["rm", ignored],
  ["detach", ignored],
  ["sig-proxy", ignored],
  [
    "name",
    () => {
      throw new LaunchRefused('docker parameter "name" cannot be used: the agent names containers mesos-<uuid>');
    },
  ],
]);

const aliases: ReadonlyMap<string, string> = new Map([
  ["c", "cpu-shares"],
  ["d", "detach"],
  ["dns-opt", "dns-option"],
  ["e", "env"],
  ["h", "hostname"],
  ["i", "interactive"],
  ["l", "label"],
  ["m", "memory"],
  ["net-alias", "network-alias"],
  ["p", "publish"],
  ["t", "tty"],
  ["u", "user"],
  ["v", "volume"],
  ["w", "workdir"],
]);

/** The long name of an option: `--net`, `net` and `network` are one. */
export function parameterName(key: string): string {
  const bare = key.replace(/^--?/, "");
  if (bare === "net") return "network";
  return aliases.get(bare) ?? bare;
}

export function applyRunParameter(draft: ContainerDraft, key: string, value: string): void {
  const name = parameterName(key);
  const apply = options.get(name);
  if (apply === undefined) throw new LaunchRefused(`Unknown docker parameter "${key}"`);
  apply(draft, value, key);
}

/** `type=bind,source=/a,target=/b,readonly` (docker/cli: opts/mount.go). */
function parseMount(key: string, value: string): MountConfig {
  const mount: MountConfig = { Type: "volume", Target: "" };
  for (const part of value.split(",")) {
    const [name, content] = parsePair(key, part);
    switch (name.toLowerCase()) {
      case "type":
        mount.Type = content.toLowerCase();
        break;
      case "source":
      case "src":
        mount.Source = content;
        break;
      case "target":
      case "dst":
      case "destination":
        mount.Target = content;
        break;
      case "readonly":
      case "ro":
        mount.ReadOnly = parseSwitch(name, content);
        break;
      case "bind-propagation":
        mount.BindOptions = { Propagation: content };
        break;
      case "volume-nocopy":
        mount.VolumeOptions = { ...mount.VolumeOptions, NoCopy: parseSwitch(name, content) };
        break;
      case "volume-driver":
        mount.VolumeOptions = {
          ...mount.VolumeOptions,
          DriverConfig: { ...mount.VolumeOptions?.DriverConfig, Name: content },
        };
        break;
      case "volume-opt": {
        const [option, setting] = parsePair(name, content);
        const driver = mount.VolumeOptions?.DriverConfig;
        mount.VolumeOptions = {
          ...mount.VolumeOptions,
          DriverConfig: { ...driver, Options: { ...driver?.Options, [option]: setting } },
        };
        break;
      }
      case "tmpfs-size":
        mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes: parseSize(name, content) };
        break;
      case "tmpfs-mode":
        mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(content, 8) };
        break;
      default:
        refuseValue(key, value, `no field "${name}"`);
    }
  }
  if (mount.Target === "") refuseValue(key, value, "target=/path");
  return mount;
}

/** `all`, a count, or `device=id,id`. */
function parseGpus(
  key: string,
  value: string,
): { Driver: string; Count: number; DeviceIDs?: string[]; Capabilities: string[][] } {
  const Capabilities = [["gpu"]];
  if (value === "all") return { Driver: "", Count: -1, Capabilities };
  if (/^\d+$/.test(value)) return { Driver: "", Count: Number(value), Capabilities };
  const devices = /^"?device=([^"]+)"?$/.exec(value)?.[1];
  if (devices === undefined) return refuseValue(key, value, "all, a number, or device=...");
  return { Driver: "", Count: 0, DeviceIDs: devices.split(","), Capabilities };
}
