/** A member of a named port's set as text, so that sets can hold it, and back. */

import type { IpAddress } from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import type { PortMember } from "./enforcement.ts";

export interface PortOfAddress {
  readonly address: IpAddress;
  readonly protocol: number;
  readonly port: number;
}

export function portMember({ address, protocol, port }: PortOfAddress): PortMember {
  return `${address},${protocol},${port}`;
}

export function parsePortMember(member: PortMember): PortOfAddress {
  const [address, protocol, port] = member.split(",");
  invariant(address !== undefined && Number(protocol) > 0 && Number(port) > 0, `"${member}" is a port member`);
  return { address: address as IpAddress, protocol: Number(protocol), port: Number(port) };
}
