/** What a task's container should be (ContainerInfo) and what it became (ContainerStatus), as in the Mesos v1 API. */

import type { ContainerID } from "./ids.ts";
import type { Image, Volume } from "./resource-info.ts";
import type { Labels, Parameter } from "./values.ts";

export type IpProtocol = "IPv4" | "IPv6";

/** In a request: empty or `{}` any address, only `protocol` a family, only `ip_address` a static one. In a report: the address. */
export interface IPAddress {
  readonly protocol?: IpProtocol | undefined;
  readonly ip_address?: string | undefined;
}
export interface PortMapping {
  readonly host_port: number;
  readonly container_port: number;
  readonly protocol?: string | undefined;
}
export interface NetworkInfo {
  readonly ip_addresses?: readonly IPAddress[] | undefined;
  readonly name?: string | undefined;
  /** Net-groups of net-modules: with Calico these are profiles. */
  readonly groups?: readonly string[] | undefined;
  readonly labels?: Labels | undefined;
  readonly port_mappings?: readonly PortMapping[] | undefined;
}
export type DockerNetworkMode = "HOST" | "BRIDGE" | "NONE" | "USER";

export interface DockerInfo {
  readonly image: string;
  /** Absent means HOST. USER takes the network's name from `network_infos[0].name`. */
  readonly network?: DockerNetworkMode | undefined;
  readonly port_mappings?: readonly PortMapping[] | undefined;
  readonly privileged?: boolean | undefined;
  /** `--key=value` words of `docker run`; the first one named `net` or `network` replaces the network. */
  readonly parameters?: readonly Parameter[] | undefined;
  readonly force_pull_image?: boolean | undefined;
  readonly volume_driver?: string | undefined;
}
export interface LinuxInfo {
  readonly capability_info?: { readonly capabilities?: readonly string[] | undefined } | undefined;
  readonly bounding_capabilities?: { readonly capabilities?: readonly string[] | undefined } | undefined;
  readonly effective_capabilities?: { readonly capabilities?: readonly string[] | undefined } | undefined;
  readonly share_pid_namespace?: boolean | undefined;
  readonly seccomp?:
    | { readonly profile_name?: string | undefined; readonly unconfined?: boolean | undefined }
    | undefined;
  readonly ipc_mode?: "UNKNOWN" | "PRIVATE" | "SHARE_PARENT" | undefined;
  readonly shm_size?: number | undefined;
  readonly share_cgroups?: boolean | undefined;
}
export interface ContainerInfo {
  readonly type: "DOCKER" | "MESOS";
  readonly volumes?: readonly Volume[] | undefined;
  readonly hostname?: string | undefined;
  readonly docker?: DockerInfo | undefined;
  readonly mesos?: { readonly image?: Image | undefined } | undefined;
  readonly network_infos?: readonly NetworkInfo[] | undefined;
  readonly linux_info?: LinuxInfo | undefined;
  readonly rlimit_info?:
    | {
        readonly rlimits?:
          | readonly {
              readonly type?: string | undefined;
              readonly hard?: number | undefined;
              readonly soft?: number | undefined;
            }[]
          | undefined;
      }
    | undefined;
  readonly tty_info?:
    | { readonly window_size?: { readonly rows: number; readonly columns: number } | undefined }
    | undefined;
}
export interface ContainerStatus {
  readonly container_id?: ContainerID | undefined;
  readonly network_infos?: readonly NetworkInfo[] | undefined;
  readonly cgroup_info?: { readonly net_cls?: { readonly classid?: number | undefined } | undefined } | undefined;
  readonly executor_pid?: number | undefined;
}
