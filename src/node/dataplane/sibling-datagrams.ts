/**
 * Datagrams for a container on several networks. A server that listens on all its addresses answers with that of the
 * container's one default route, whatever address was asked: TCP keeps the address of the connection, UDP does not. So the
 * host hands datagrams for a container's other addresses to the one it sends by, and connection tracking gives the answers the
 * address that was asked. Policy is the same at all of them (plugins/docker/endpoints/container-siblings.ts).
 * Only there while any such container is on the host.
 */
import { type IpAddress, ipFamily } from "../../base/addresses.ts";
import type { InterfaceName } from "../../base/names.ts";
import type { Hook, RuleSpec, SetSpec } from "../../kernel/nftables/ruleset.ts";
import type { EndpointEnforcement } from "../../policy/enforcement.ts";
import { names } from "./chain-names.ts";

const protocolUdp = 17;
const protocolUdpLite = 136;
/** NF_IP_PRI_NAT_DST */
const priorityDnat = -100;

export function siblingMap(address: IpAddress): string {
  return ipFamily(address) === 4 ? names.siblings4 : names.siblings6;
}

/** Which of this host's addresses are answered by another one, and by which. */
export class SiblingTargets {
  /** By address and interface: two records may claim one address; the smaller interface name wins, whoever came first. */
  readonly #claims = new Map<IpAddress, Map<InterfaceName, IpAddress>>();
  readonly #addresses = new Map<InterfaceName, readonly IpAddress[]>();

  get any(): boolean {
    return this.#addresses.size > 0;
  }

  of(address: IpAddress): IpAddress | undefined {
    const claims = this.#claims.get(address);
    const [name] = [...(claims?.keys() ?? [])].sort();
    return name === undefined ? undefined : claims?.get(name);
  }

  /** @returns the addresses that may be answered differently now. */
  program(name: InterfaceName, endpoint: EndpointEnforcement | undefined): readonly IpAddress[] {
    const before = this.#addresses.get(name) ?? [];
    for (const address of before) {
      const claims = this.#claims.get(address);
      claims?.delete(name);
      if (claims?.size === 0) this.#claims.delete(address);
    }
    const targets = endpoint === undefined || endpoint.problems.length > 0 ? [] : targetsOf(endpoint);
    for (const [address, target] of targets)
      this.#claims.set(address, (this.#claims.get(address) ?? new Map()).set(name, target));
    const after = targets.map(([address]) => address);
    if (after.length > 0) this.#addresses.set(name, after);
    else this.#addresses.delete(name);
    return [...before, ...after];
  }
}

function targetsOf({ addresses, gatewayAddresses = [] }: EndpointEnforcement): (readonly [IpAddress, IpAddress])[] {
  return addresses.flatMap((address) => {
    const target = gatewayAddresses.find((other) => ipFamily(other) === ipFamily(address));
    return target === undefined ? [] : [[address, target] as const];
  });
}

export const siblingMaps: readonly SetSpec[] = [
  { name: names.siblings4, kind: "address-map4" },
  { name: names.siblings6, kind: "address-map6" },
];

/** The same rules for what comes in and for what the host itself sends. */
export const siblingHooks: readonly { readonly name: string; readonly hook: Hook }[] = [
  { name: names.siblingDatagrams, hook: { type: "nat", hook: "prerouting", priority: priorityDnat } },
  { name: names.siblingDatagramsOut, hook: { type: "nat", hook: "output", priority: priorityDnat } },
];

export const siblingRules: readonly RuleSpec[] = ([4, 6] as const).map((family) => ({
  matches: [{ match: "protocol", numbers: [protocolUdp, protocolUdpLite] }],
  actions: [{ do: "destination-nat", family, map: family === 4 ? names.siblings4 : names.siblings6 }],
}));
