/**
 * The body of `POST /containers/create` as this containerizer fills it (Docker Engine API 1.24 to 1.52; the fields are
 * Docker's own names). Only what a task can ask for stands here. Plain data: built by `container-plan.ts`, sent as is.
 */

export interface EndpointConfig {
  IPAMConfig?: { IPv4Address?: string; IPv6Address?: string; LinkLocalIPs?: string[] };
  Aliases?: string[];
  MacAddress?: string;
  DriverOpts?: Record<string, string>;
}

export interface MountConfig {
  Type: string;
  Source?: string;
  Target: string;
  ReadOnly?: boolean;
  BindOptions?: { Propagation?: string };
  VolumeOptions?: { NoCopy?: boolean; DriverConfig?: { Name?: string; Options?: Record<string, string> } };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
}

export interface HealthcheckConfig {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  Retries?: number;
  StartPeriod?: number;
}

export interface HostConfig {
  Binds?: string[];
  Mounts?: MountConfig[];
  NetworkMode: string;
  PortBindings?: Record<string, { HostIp: string; HostPort: string }[]>;
  RestartPolicy: { Name: "no" };
  LogConfig?: { Type: string; Config: Record<string, string> };
  CpuShares?: number;
  CpuQuota?: number;
  CpuPeriod?: number;
  NanoCpus?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
  Memory?: number;
  MemoryReservation?: number;
  MemorySwap?: number;
  MemorySwappiness?: number;
  PidsLimit?: number;
  BlkioWeight?: number;
  OomScoreAdj?: number;
  OomKillDisable?: boolean;
  Privileged?: boolean;
  CapAdd?: string[];
  CapDrop?: string[];
  GroupAdd?: string[];
  SecurityOpt?: string[];
  ReadonlyRootfs?: boolean;
  Devices?: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[];
  DeviceRequests?: { Driver: string; Count: number; DeviceIDs?: string[]; Capabilities: string[][] }[];
  Dns?: string[];
  DnsSearch?: string[];
  DnsOptions?: string[];
  ExtraHosts?: string[];
  VolumeDriver?: string;
  VolumesFrom?: string[];
  Links?: string[];
  Init?: boolean;
  Sysctls?: Record<string, string>;
  PidMode?: string;
  IpcMode?: string;
  UTSMode?: string;
  UsernsMode?: string;
  CgroupParent?: string;
  Runtime?: string;
  ShmSize?: number;
  Tmpfs?: Record<string, string>;
  Ulimits?: { Name: string; Soft: number; Hard: number }[];
}

export interface ContainerCreateBody {
  Image: string;
  Hostname?: string;
  Domainname?: string;
  User?: string;
  WorkingDir?: string;
  Tty?: boolean;
  OpenStdin?: boolean;
  Env: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Labels: Record<string, string>;
  ExposedPorts?: Record<string, Record<string, never>>;
  MacAddress?: string;
  StopSignal?: string;
  StopTimeout?: number;
  Healthcheck?: HealthcheckConfig;
  HostConfig: HostConfig;
  NetworkingConfig?: { EndpointsConfig: Record<string, EndpointConfig> };
}
