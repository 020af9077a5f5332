/**
 * Which interface each host endpoint is for (felix-dataplane.md 3.8): its interfaceName alone if given, else whichever
 * carries one of its expected addresses. Of several for one interface the smallest name wins. Interfaces of workloads are
 * none of a host endpoint's.
 */
import type { IpAddress } from "../../base/addresses.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { HostEndpointEnforcement } from "../../policy/enforcement.ts";

export class HostInterfaces {
  readonly #network: Pick<HostNetwork, "linkWithAddress">;
  readonly #isWorkload: (name: string) => boolean;
  readonly #endpoints = new Map<string, HostEndpointEnforcement>();
  readonly #problems = new Map<string, string>();
  readonly #names = new Map<string, string>();
  #changed = false;

  constructor(network: Pick<HostNetwork, "linkWithAddress">, isWorkload: (name: string) => boolean) {
    this.#network = network;
    this.#isWorkload = isWorkload;
  }

  get needsApply(): boolean {
    return this.#changed;
  }

  set(key: string, endpoint: HostEndpointEnforcement | undefined): void {
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    this.#changed = true;
  }

  /** Other interfaces are workloads' now. */
  prefixesChanged(): void {
    this.#changed ||= this.#endpoints.size > 0;
  }

  /** It came or went. */
  addressChanged(address: IpAddress): void {
    for (const { interfaceName, expectedIps } of this.#endpoints.values())
      if (interfaceName === undefined && expectedIps.includes(address)) this.#changed = true;
  }

  problemOf(key: string): string | undefined {
    return this.#problems.get(key);
  }

  has(key: string): boolean {
    return this.#endpoints.has(key);
  }

  /** The interface it is in force on, as of the last resolve(). */
  interfaceOf(key: string): string | undefined {
    return this.#names.get(key);
  }

  /** By interface, "*" for all others; undefined when nothing can have changed since the last call. */
  resolve(): ReadonlyMap<string, HostEndpointEnforcement> | undefined {
    if (!this.#changed) return undefined;
    const resolved = new Map<string, HostEndpointEnforcement>();
    this.#problems.clear();
    this.#names.clear();
    const byName = [...this.#endpoints.values()].sort((a, b) =>
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
    );
    for (const endpoint of byName) {
      const name = this.#interfaceOf(endpoint);
      const winner = name === undefined ? undefined : resolved.get(name);
      if (name === undefined) this.#problems.set(endpoint.key, "no interface of this host has an expected address");
      else if (name !== "*" && this.#isWorkload(name))
        this.#problems.set(endpoint.key, `interface ${name} is a workload's`);
      else if (winner !== undefined) this.#problems.set(endpoint.key, `interface ${name} belongs to ${winner.key}`);
      else {
        resolved.set(name, endpoint);
        this.#names.set(endpoint.key, name);
      }
    }
    this.#changed = false;
    return resolved;
  }

  #interfaceOf({ interfaceName, expectedIps }: HostEndpointEnforcement): string | undefined {
    if (interfaceName !== undefined) return interfaceName;
    for (const address of expectedIps) {
      const link = this.#network.linkWithAddress(address);
      if (link !== undefined) return link.name;
    }
    return undefined;
  }
}
