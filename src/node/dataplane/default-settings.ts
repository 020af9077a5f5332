/** What holds until policy/ tells the host's settings: Calico's defaults outside Kubernetes (felix-dataplane.md 3.8, 10). */
import type { FailsafePort, HostSettings } from "../../policy/enforcement.ts";

const tcp = 6;
const udp = 17;
const open = (protocol: number, ...ports: number[]): FailsafePort[] =>
  ports.map((port) => ({ protocol, port, net: undefined }));

export const defaultSettings: HostSettings = {
  interfacePrefixes: ["cali"],
  endpointToHost: "return",
  allowAction: "accept",
  denyAction: "drop",
  failsafeInbound: [...open(tcp, 22, 179, 2379, 2380, 5473, 6443, 6666, 6667), ...open(udp, 68)],
  failsafeOutbound: [...open(tcp, 179, 2379, 2380, 5473, 6443, 6666, 6667), ...open(udp, 53, 67)],
  logPrefix: "calico-packet",
  logLimit: undefined,
  dropInvalid: true,
  allowVxlanFromWorkloads: false,
  allowIpipFromWorkloads: false,
  natOutgoingAddress: undefined,
  natPortRange: undefined,
  natExcludesHosts: false,
  externalHosts: [],
  openStack: undefined,
  removeExternalRoutes: true,
  routeSource: { ipv4: undefined, ipv6: undefined },
};
