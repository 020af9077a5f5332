/**
 * Which endpoint is enforced on which interface, and whether the interface is there. Two endpoints may claim one
 * interface (a restart race, a copied record): the smaller key wins, as in Felix; the other waits. Pure.
 */
import { type InterfaceName, parseInterfaceName } from "../../base/names.ts";
import type { Link } from "../../kernel/links.ts";
import type { EndpointEnforcement } from "../../policy/enforcement.ts";

export class EndpointInterfaces {
  #prefixes: readonly string[];
  readonly #endpoints = new Map<string, EndpointEnforcement>();
  readonly #claims = new Map<InterfaceName, Set<string>>();
  readonly #links = new Map<string, Link>();
  readonly #nameByIndex = new Map<number, string>();

  constructor(prefixes: readonly string[]) {
    this.#prefixes = prefixes;
  }

  /** @returns the interfaces whose enforcement may have changed. */
  setPrefixes(prefixes: readonly string[]): InterfaceName[] {
    this.#prefixes = prefixes;
    return [...this.#claims.keys()];
  }

  /** @returns as setPrefixes(). */
  setEndpoint(key: string, endpoint: EndpointEnforcement | undefined): InterfaceName[] {
    const before = this.#endpoints.get(key);
    const touched = new Set<InterfaceName>();
    if (before !== undefined) {
      touched.add(before.interfaceName);
      const claims = this.#claims.get(before.interfaceName);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(before.interfaceName);
    }
    if (endpoint === undefined) this.#endpoints.delete(key);
    else {
      this.#endpoints.set(key, endpoint);
      touched.add(endpoint.interfaceName);
      const claims = this.#claims.get(endpoint.interfaceName) ?? new Set();
      this.#claims.set(endpoint.interfaceName, claims.add(key));
    }
    return [...touched];
  }

  /** The endpoint to enforce there; undefined when none may be. */
  winner(name: InterfaceName): EndpointEnforcement | undefined {
    if (!this.isEndpointName(name)) return undefined;
    const [key] = [...(this.#claims.get(name) ?? [])].sort();
    return key === undefined ? undefined : this.#endpoints.get(key);
  }

  get interfaceNames(): Iterable<InterfaceName> {
    return this.#claims.keys();
  }

  interfaceNameOf(key: string): InterfaceName | undefined {
    return this.#endpoints.get(key)?.interfaceName;
  }

  /** Only names the packet filter can spell, with a prefix of ours: never a host's own interface. */
  isEndpointName(name: string): boolean {
    return /^[a-zA-Z0-9_.-]{1,15}$/.test(name) && this.#prefixes.some((prefix) => name.startsWith(prefix));
  }

  /** Whether an endpoint is known on the interface; undefined: it is none of an endpoint. */
  endpointInterface(index: number): { readonly known: boolean } | undefined {
    const name = this.#nameByIndex.get(index);
    if (name === undefined || !this.isEndpointName(name)) return undefined;
    return { known: this.winner(parseInterfaceName(name)) !== undefined };
  }

  /** Why an endpoint is not enforced although policy says how, for a user to read. */
  problemOf(key: string): string | undefined {
    const endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) return undefined;
    const { interfaceName } = endpoint;
    if (!this.isEndpointName(interfaceName))
      return `interface "${interfaceName}" does not begin with ${this.#prefixes.join(" or ")}`;
    const winner = this.winner(interfaceName);
    if (winner !== undefined && winner !== endpoint) return `interface ${interfaceName} belongs to ${winner.key}`;
    const link = this.#links.get(interfaceName);
    if (link === undefined) return `interface ${interfaceName} does not exist`;
    return link.up ? undefined : `interface ${interfaceName} is down`;
  }

  /** For status: "error" where nothing can become of it before somebody changes something. */
  stateOf(key: string): "up" | "down" | "error" {
    const endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) return "down";
    if (this.winner(endpoint.interfaceName) !== endpoint) return "error";
    const link = this.#links.get(endpoint.interfaceName);
    return link?.up === true && link.running ? "up" : "down";
  }

  interfaceOf(key: string): InterfaceName | undefined {
    return this.#endpoints.get(key)?.interfaceName;
  }

  get linkCount(): number {
    return this.#links.size;
  }

  link(name: string): Link | undefined {
    return this.#links.get(name);
  }

  /** @returns names whose link changed in a way that matters here. */
  linkSeen(link: Link): string[] {
    const changed = new Set<string>();
    const oldName = this.#nameByIndex.get(link.index);
    if (oldName !== undefined && oldName !== link.name) {
      this.#links.delete(oldName);
      changed.add(oldName);
    }
    const before = this.#links.get(link.name);
    if (before !== undefined && before.index !== link.index) this.#nameByIndex.delete(before.index);
    if (before?.index !== link.index || before.up !== link.up) changed.add(link.name);
    this.#links.set(link.name, link);
    this.#nameByIndex.set(link.index, link.name);
    return [...changed];
  }

  linkGone(index: number): string[] {
    const name = this.#nameByIndex.get(index);
    if (name === undefined) return [];
    this.#nameByIndex.delete(index);
    if (this.#links.get(name)?.index === index) this.#links.delete(name);
    return [name];
  }

  /** A complete list replaces every belief. */
  linksObserved(links: readonly Link[]): string[] {
    const present = new Set(links.map((link) => link.index));
    const gone = [...this.#nameByIndex.keys()].filter((index) => !present.has(index));
    return [...gone.flatMap((index) => this.linkGone(index)), ...links.flatMap((link) => this.linkSeen(link))];
  }
}
