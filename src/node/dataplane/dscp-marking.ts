/**
 * DSCP of what endpoints, and the host by interfaces with a host endpoint, send to outside the cluster: neither to a pool nor
 * to a host (felix-dataplane.md 3.3, mangle-POSTROUTING). One chain for each value, found by the interface; where Felix looks
 * for the source address, foreign sources that an endpoint may use are marked here too. Before policy: what that drops is
 * marked in vain, and nobody else pays. Only there while somebody has a value.
 */
import type { Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type { HostEndpointEnforcement } from "../../policy/enforcement.ts";
import type { ChainContent } from "./base-rules.ts";
import type { ChainGraph, ChainNode } from "./chain-graph.ts";
import { names } from "./chain-names.ts";
import { anyInterface, nobodysInterface } from "./host-endpoints.ts";
import type { TrackedSets } from "./tracked-sets.ts";

/** NF_IP_PRI_MANGLE: after DNAT, so that the destination is the real one. */
const priorityMangle = -150;

export class DscpMarking {
  readonly #endpoints: MarkedInterfaces;
  readonly #hosts: MarkedInterfaces;
  readonly #graph: ChainGraph;
  /** Of all interfaces that are nobody's. */
  #others: ChainNode | undefined;

  constructor(sets: TrackedSets, graph: ChainGraph) {
    this.#graph = graph;
    this.#endpoints = new MarkedInterfaces(names.dscpFrom, sets, graph);
    this.#hosts = new MarkedInterfaces(names.dscpBy, sets, graph);
  }

  /** @returns whether the fixed chains look different now. */
  endpoint(name: string, value: number | undefined): boolean {
    const before = this.#endpoints.any;
    this.#endpoints.want(name, value);
    return before !== this.#endpoints.any;
  }

  /** @returns as endpoint(). */
  hostEndpoints(endpoints: ReadonlyMap<string, HostEndpointEnforcement>): boolean {
    const [any, others] = [this.#hosts.any, this.#others];
    const dscpOf = (name: string) => endpoints.get(name)?.dscp;
    for (const name of new Set([...this.#hosts.names, ...endpoints.keys()]))
      if (name !== anyInterface) this.#hosts.want(name, dscpOf(name));
    const value = dscpOf(anyInterface);
    this.#others = value === undefined ? undefined : markingNode(this.#graph, value);
    if (this.#others !== undefined) this.#graph.refer(this.#others);
    if (others !== undefined) this.#graph.release(others);
    return any !== this.#hosts.any || others?.name !== this.#others?.name;
  }

  fixedChains(interfacePrefixes: readonly string[]): ChainContent[] {
    const base = (hook: "forward" | "output", rules: readonly RuleSpec[]): ChainContent[] =>
      rules.length === 0
        ? []
        : [{ chain: { name: `dscp-${hook}`, hook: { type: "filter", hook, priority: priorityMangle } }, rules }];
    const others: RuleSpec[] =
      this.#others === undefined
        ? []
        : [
            {
              matches: nobodysInterface("out", interfacePrefixes),
              actions: [{ do: "goto", chain: this.#others.name }],
            },
          ];
    return [...base("forward", this.#endpoints.look("in")), ...base("output", [...this.#hosts.look("out"), ...others])];
  }
}

class MarkedInterfaces {
  readonly #map: string;
  readonly #sets: TrackedSets;
  readonly #graph: ChainGraph;
  readonly #nodes = new Map<string, ChainNode>();

  constructor(map: string, sets: TrackedSets, graph: ChainGraph) {
    this.#map = map;
    this.#sets = sets;
    this.#graph = graph;
  }

  get any(): boolean {
    return this.#nodes.size > 0;
  }

  get names(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  want(name: string, value: number | undefined): void {
    const had = this.any;
    const before = this.#nodes.get(name);
    const after = value === undefined ? undefined : markingNode(this.#graph, value);
    if (before === undefined && after === undefined) return;
    if (after !== undefined) this.#graph.refer(after);
    if (before !== undefined) this.#graph.release(before);
    if (after === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, after);
    if (!had) this.#sets.wantSet({ name: this.#map, kind: "interface-verdicts" });
    this.#sets.wantElement(this.#map, name, after && { key: name, verdict: { goto: after.name } });
    if (!this.any) this.#sets.unwantSet(this.#map);
  }

  look(direction: "in" | "out"): RuleSpec[] {
    return this.any ? [{ matches: [], actions: [{ do: "dispatch", direction, map: this.#map }] }] : [];
  }
}

function markingNode(graph: ChainGraph, value: number): ChainNode {
  const rules = ([4, 6] as const).map((family): RuleSpec => {
    const notTo = (set: string): Match => ({ match: "address-in-set", side: "destination", family, set, not: true });
    const matches = family === 4 ? [names.pools4, names.hosts4] : [names.pools6, names.hosts6];
    return { matches: matches.map(notTo), actions: [{ do: "set-dscp", family, value }] };
  });
  return graph.node(`dscp/${value}`, [], () => ({ rules, chains: [], sets: [] }));
}
