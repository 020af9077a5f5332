/** Host endpoints in the packet filter: which chain an interface has at which place, and the failsafe ports. */

import { ipFamily, prefixLength } from "../../base/addresses.ts";
import type { Action, Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type { FailsafePort, HostEndpointEnforcement, HostSettings } from "../../policy/enforcement.ts";
import type { ChainContent } from "./base-rules.ts";
import { type EndpointShape, hostShapes } from "./chain-content.ts";
import type { ChainGraph, ChainNode } from "./chain-graph.ts";
import { acceptedBit, type HostHook, names } from "./chain-names.ts";
import type { TrackedSets } from "./tracked-sets.ts";

/** Stands for all interfaces that no other host endpoint is for, and that are neither endpoints' nor the loopback. */
export const anyInterface = "*";

const hooks = Object.keys(names.host) as HostHook[];

export class HostEndpoints {
  readonly #sets: TrackedSets;
  readonly #graph: ChainGraph;
  readonly #nodeOf: (shape: EndpointShape) => ChainNode;
  readonly #programmed = new Map<string, ReadonlyMap<HostHook, ChainNode>>();

  constructor(sets: TrackedSets, graph: ChainGraph, nodeOf: (shape: EndpointShape) => ChainNode) {
    this.#sets = sets;
    this.#graph = graph;
    this.#nodeOf = nodeOf;
  }

  get any(): boolean {
    return this.#programmed.size > 0;
  }

  /** @returns whether the fixed chains look different now: the first came, the last went, or the one for all others changed. */
  program(endpoints: ReadonlyMap<string, HostEndpointEnforcement>): boolean {
    const before = this.#shapeOfFixed();
    const had = this.any;
    for (const [name, chains] of [...this.#programmed]) {
      if (endpoints.has(name)) continue;
      this.#programmed.delete(name);
      this.#elements(name, new Map());
      for (const chain of chains.values()) this.#graph.release(chain);
    }
    if (!had && endpoints.size > 0) {
      this.#sets.wantSet({ name: names.hostInterfaces, kind: "interfaces" });
      for (const hook of hooks) this.#sets.wantSet({ name: mapName(hook), kind: "interface-verdicts" });
    }
    for (const [name, endpoint] of endpoints) this.#programOne(name, endpoint);
    if (had && !this.any) for (const set of [names.hostInterfaces, ...hooks.map(mapName)]) this.#sets.unwantSet(set);
    return before !== this.#shapeOfFixed();
  }

  /** The chains that look an interface up. Untracked policy is not for the endpoint of all others. */
  dispatchChains(interfacePrefixes: readonly string[]): ChainContent[] {
    const others = this.#programmed.get(anyInterface);
    return hooks.map((hook): ChainContent => {
      const direction = directionOf(hook);
      const look: RuleSpec = { matches: [], actions: [{ do: "dispatch", direction, map: mapName(hook) }] };
      const chain = others?.get(hook);
      const rest: RuleSpec[] =
        chain === undefined || hook.startsWith("untracked")
          ? []
          : [{ matches: nobodysInterface(direction, interfacePrefixes), actions: [{ do: "goto", chain: chain.name }] }];
      return { chain: { name: names.host[hook] }, rules: [look, ...rest] };
    });
  }

  #programOne(name: string, endpoint: HostEndpointEnforcement): void {
    const before = this.#programmed.get(name);
    const after = new Map(
      hostShapes(endpoint).flatMap((shape) =>
        shape.hook === undefined ? [] : [[shape.hook, this.#nodeOf(shape)] as const],
      ),
    );
    for (const chain of after.values()) this.#graph.refer(chain);
    this.#programmed.set(name, after);
    for (const chain of before?.values() ?? []) this.#graph.release(chain);
    this.#elements(name, after);
  }

  #elements(name: string, chains: ReadonlyMap<HostHook, ChainNode>): void {
    if (name === anyInterface) return;
    this.#sets.wantElement(names.hostInterfaces, name, chains.size === 0 ? undefined : { key: name });
    for (const hook of hooks) {
      const chain = chains.get(hook);
      const element = chain && { key: name, verdict: { goto: chain.name } };
      this.#sets.wantElement(mapName(hook), name, element);
    }
  }

  #shapeOfFixed(): string {
    const others = [...(this.#programmed.get(anyInterface) ?? [])].map(([hook, { name }]) => [hook, name]);
    return JSON.stringify([this.any, others]);
  }
}

/** Neither an endpoint's nor the loopback nor one that a host endpoint is for. */
export function nobodysInterface(direction: "in" | "out", interfacePrefixes: readonly string[]): Match[] {
  return [
    { match: "interface-named", direction, name: "lo", not: true },
    ...interfacePrefixes.map((prefix): Match => ({ match: "interface", direction, prefix, not: true })),
    { match: "interface-in-set", direction, set: names.hostInterfaces, not: true },
  ];
}

function mapName(hook: HostHook): string {
  return `${names.host[hook]}-map`;
}

function directionOf(hook: HostHook): "in" | "out" {
  return hook === "outbound" || hook.endsWith("Outbound") ? "out" : "in";
}

/** Open whatever policy says. Without connection tracking the answers have to be let pass too. */
export function failsafeChains(settings: HostSettings): ChainContent[] {
  const { failsafeInbound, failsafeOutbound } = settings;
  const yes: readonly Action[] = [{ do: "set-mark", bit: acceptedBit }, { do: "return" }];
  // Final there: not untracked, and judged by what follows.
  const goOn: readonly Action[] = [{ do: "accept" }];
  return [
    { chain: { name: names.failsafeInbound }, rules: failsafeRules(failsafeInbound, "source", "destination", yes) },
    {
      chain: { name: names.failsafeOutbound },
      rules: failsafeRules(failsafeOutbound, "destination", "destination", yes),
    },
    {
      chain: { name: names.failsafeUntrackedInbound },
      rules: [
        ...failsafeRules(failsafeInbound, "source", "destination", goOn),
        ...failsafeRules(failsafeOutbound, "source", "source", goOn),
      ],
    },
    {
      chain: { name: names.failsafeUntrackedOutbound },
      rules: [
        ...failsafeRules(failsafeOutbound, "destination", "destination", goOn),
        ...failsafeRules(failsafeInbound, "destination", "source", goOn),
      ],
    },
  ];
}

/** @param peer the side the other host is on. @param service the side the failsafe port is on. */
function failsafeRules(
  ports: readonly FailsafePort[],
  peer: "source" | "destination",
  service: "source" | "destination",
  actions: readonly Action[],
): RuleSpec[] {
  return ports.map(({ protocol, port, net }) => {
    const matches: Match[] = [];
    if (net !== undefined) {
      const family = ipFamily(net);
      matches.push(
        prefixLength(net) === 0
          ? { match: "family", family }
          : { match: "address", side: peer, family, networks: [net] },
      );
    }
    matches.push({ match: "protocol", numbers: [protocol] });
    matches.push({ match: "ports", side: service, ranges: [{ first: port, last: port }] });
    return { matches, actions };
  });
}
