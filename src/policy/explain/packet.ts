/** The first packet of a connection, as far as policy can ask about it. */
import type { IpAddress } from "../../base/addresses.ts";
import { BadInput } from "../../base/errors.ts";

export interface Packet {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IANA number. */
  readonly protocol: number;
  /** Of protocols that have ports. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Of ICMP and ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number };
}

/** What a user asks for with --port, before the address family is known. */
export interface Traffic {
  readonly protocol: number | "icmp";
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
}

const protocolNumbers: Readonly<Record<string, number>> = { tcp: 6, udp: 17, dccp: 33, sctp: 132, udplite: 136 };
/** Their first four bytes are the two ports. */
export const protocolsWithPorts: ReadonlySet<number> = new Set(Object.values(protocolNumbers));
export const icmpProtocol = { 4: 1, 6: 58 } as const;
const echoRequest = { 4: 8, 6: 128 } as const;
/** What a client's kernel would choose; a rule about source ports may need another one. */
export const sourcePortDefault = 49_152;

/** @throws BadInput unless it reads like tcp/80, udp/53, icmp, icmp/3/1 or a protocol's number. */
export function parseTraffic(text: string, path: string): Traffic {
  const expected = "tcp/PORT, udp/PORT, sctp/PORT, icmp, icmp/TYPE, icmp/TYPE/CODE or a protocol's number";
  const [name = "", ...numbers] = text.toLowerCase().split("/");
  const number = (at: number, max: number, min = 0): number => {
    const value = /^\d{1,5}$/.test(numbers[at] ?? "") ? Number(numbers[at]) : -1;
    if (value < min || value > max) throw new BadInput(path, `"${text}" names no traffic`, expected);
    return value;
  };
  if (name === "icmp" || name === "icmpv6") {
    if (numbers.length === 0) return { protocol: "icmp" };
    if (numbers.length > 2) throw new BadInput(path, `"${text}" names no traffic`, expected);
    return { protocol: "icmp", icmp: { type: number(0, 255), code: numbers.length === 2 ? number(1, 255) : 0 } };
  }
  const known = Object.hasOwn(protocolNumbers, name) ? protocolNumbers[name] : undefined;
  const protocol = known ?? (/^\d{1,3}$/.test(name) ? Number(name) : -1);
  if (protocol < 1 || protocol > 255 || protocol === icmpProtocol[4] || protocol === icmpProtocol[6])
    throw new BadInput(path, `"${text}" names no traffic`, expected);
  if (!protocolsWithPorts.has(protocol)) {
    if (numbers.length > 0) throw new BadInput(path, `protocol ${name} has no ports`, expected);
    return { protocol };
  }
  if (numbers.length !== 1) throw new BadInput(path, `"${text}" names no port`, expected);
  return { protocol, destinationPort: number(0, 65_535, 1) };
}

export function packetOf(source: IpAddress, destination: IpAddress, traffic: Traffic, sourcePort: number): Packet {
  const family = destination.includes(":") ? 6 : 4;
  if (traffic.protocol === "icmp")
    return {
      source,
      destination,
      protocol: icmpProtocol[family],
      icmp: traffic.icmp ?? { type: echoRequest[family], code: 0 },
    };
  const { protocol, destinationPort } = traffic;
  if (destinationPort === undefined) return { source, destination, protocol };
  return { source, destination, protocol, sourcePort, destinationPort };
}

/** For people: "tcp/80", "icmp/8/0". */
export function trafficText({ protocol, destinationPort, icmp }: Packet): string {
  const name = Object.entries(protocolNumbers).find(([, number]) => number === protocol)?.[0];
  if (icmp !== undefined) return `${protocol === icmpProtocol[6] ? "icmpv6" : "icmp"}/${icmp.type}/${icmp.code}`;
  return destinationPort === undefined ? `protocol ${protocol}` : `${name ?? protocol}/${destinationPort}`;
}
