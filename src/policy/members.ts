/** What an endpoint or network set puts into the sets it is selected for. */

import { type Cidr, networkAddress } from "../base/addresses.ts";
import type { PortMember } from "./enforcement.ts";
import { portMember } from "./port-member.ts";

/** A port an endpoint has given a name. */
export interface EndpointPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

export interface Members {
  readonly addresses: readonly Cidr[];
  /** Of network sets: none. */
  readonly ports: readonly EndpointPort[];
}

/** A name in a rule; undefined protocol: whatever protocol the endpoint declares. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: number | undefined;
}

export function portMembersOf({ addresses, ports }: Members, { name, protocol }: NamedPort): readonly PortMember[] {
  const named = ports.filter((port) => port.name === name && (protocol === undefined || port.protocol === protocol));
  return named.flatMap((port) =>
    addresses.map((cidr) => portMember({ address: networkAddress(cidr), protocol: port.protocol, port: port.port })),
  );
}
