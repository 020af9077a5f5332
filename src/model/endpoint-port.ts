/** Ports of endpoints, which rules may name (calico-datastore.md 2.2, 2.3, 3.3). */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { absentOr } from "./resource.ts";
import { protocolNumber, protocolsWithPorts } from "./rule.ts";

export const EndpointPort = z.looseObject({
  name: absentOr(z.string()),
  protocol: absentOr(z.union([z.string(), z.number()])),
  port: z.int().min(0).max(65535),
  hostPort: absentOr(z.int().min(0).max(65535)),
  hostIP: absentOr(z.string()),
});
export type EndpointPort = z.infer<typeof EndpointPort>;

export interface NamedEndpointPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

const none: readonly NamedEndpointPort[] = [];

/** Those that have a name; one without is there for its host port only. @throws BadInput for what no rule can mean. */
export function namedPorts(ports: readonly EndpointPort[] | undefined, path: string): readonly NamedEndpointPort[] {
  if (ports === undefined) return none;
  return ports.flatMap((entry, at) => {
    const port = checkEndpointPort(entry, `${path}[${at}]`);
    return port.name === "" ? [] : [port];
  });
}

/** @throws BadInput in upstream's words. */
export function checkEndpointPort(
  { name = "", protocol, port, hostPort }: EndpointPort,
  path: string,
): NamedEndpointPort {
  if (protocol === undefined) {
    throw new BadInput(`${path}.protocol`, "EndpointPort protocol is not specified", "TCP, UDP or SCTP");
  }
  const number = protocolNumber(protocol, `${path}.protocol`);
  if (!protocolsWithPorts.has(number)) {
    throw new BadInput(`${path}.protocol`, "EndpointPort protocol does not support ports.", "TCP, UDP or SCTP");
  }
  if (port === 0) {
    const problem = "port range invalid, port number must be between 1 and 65535";
    throw new BadInput(`${path}.port`, problem, "1 to 65535");
  }
  if (name === "" && !hostPort) {
    throw new BadInput(`${path}.name`, "EndpointPort name must not be empty if no HostPort is specified", "a name");
  }
  if (name !== "" && !isPortName(name)) {
    throw new BadInput(`${path}.name`, `port name "${name}" is invalid`, "a name like http or pg-admin");
  }
  return { name, protocol: number, port };
}

/** As Kubernetes' port names: up to 15 of [a-z0-9-], a letter among them, dashes inside and single. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) && /[a-z]/.test(text);
}
