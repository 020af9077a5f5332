/**
 * Packet rates and connection counts of endpoints (qosControls; felix-dataplane.md 3.4). They come before policy, and the
 * rate before open connections are recognised: so they have base chains of their own, a step earlier than policy's. These
 * are there only while some endpoint has such a limit; nobody else pays for it.
 * The counting state lies in an endpoint's own rules: it begins anew when its limit changes, and with the whole table.
 */
import type { InterfaceName } from "../../base/names.ts";
import type { RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type { EndpointLimits, TrafficLimits } from "../../policy/enforcement.ts";
import type { ChainContent } from "./base-rules.ts";
import type { ChainGraph, ChainNode } from "./chain-graph.ts";
import { limitsChain, names } from "./chain-names.ts";
import type { TrackedSets } from "./tracked-sets.ts";

/** Before the chains that judge (base-chains.ts), after all DNAT. */
const priorityLimits = -31;
const protocolTcp = 6;
const directions = ["inbound", "outbound"] as const;
type Direction = (typeof directions)[number];
const mapOf = { inbound: names.limitsTo, outbound: names.limitsFrom } as const;

export class PacketLimits {
  readonly #sets: TrackedSets;
  readonly #graph: ChainGraph;
  readonly #programmed = new Map<InterfaceName, ReadonlyMap<Direction, ChainNode>>();

  constructor(sets: TrackedSets, graph: ChainGraph) {
    this.#sets = sets;
    this.#graph = graph;
  }

  /** The chains of an interface. */
  chainsOf(name: InterfaceName): readonly string[] {
    return [...(this.#programmed.get(name)?.values() ?? [])].map((node) => node.name);
  }

  /** @returns whether the fixed chains come or go with it. */
  program(name: InterfaceName, limits: EndpointLimits | undefined): boolean {
    const had = this.#programmed.size > 0;
    const before = this.#programmed.get(name);
    const after = new Map(directions.flatMap((direction) => this.#nodes(name, direction, limits?.[direction])));
    if (before === undefined && after.size === 0) return false;
    if (!had) for (const map of Object.values(mapOf)) this.#sets.wantSet({ name: map, kind: "interface-verdicts" });
    for (const node of after.values()) this.#graph.refer(node);
    for (const node of before?.values() ?? []) this.#graph.release(node);
    for (const direction of directions) {
      const node = after.get(direction);
      const element = node && { key: name, verdict: { goto: node.name } };
      this.#sets.wantElement(mapOf[direction], name, element);
    }
    if (after.size === 0) this.#programmed.delete(name);
    else this.#programmed.set(name, after);
    const has = this.#programmed.size > 0;
    if (had && !has) for (const map of Object.values(mapOf)) this.#sets.unwantSet(map);
    return had !== has;
  }

  /** What the host itself sends to its endpoints is not limited, as policy does not judge it. */
  fixedChains(): readonly ChainContent[] {
    if (this.#programmed.size === 0) return [];
    const base = (hook: "forward" | "input", looks: readonly ("in" | "out")[]): ChainContent => ({
      chain: { name: `limits-${hook}`, hook: { type: "filter", hook, priority: priorityLimits } },
      rules: looks.map(
        (direction): RuleSpec => ({ matches: [], actions: [{ do: "jump", chain: lookChain[direction] }] }),
      ),
    });
    return [
      base("forward", ["in", "out"]),
      base("input", ["in"]),
      look("in", names.limitsFrom),
      look("out", names.limitsTo),
    ];
  }

  #nodes(name: InterfaceName, direction: Direction, limits: TrafficLimits | undefined): [Direction, ChainNode][] {
    const rules = rulesOf(limits);
    if (rules.length === 0) return [];
    const chain = limitsChain(mapOf[direction], name, JSON.stringify(rules));
    return [[direction, this.#graph.node(chain, [], () => ({ rules, chains: [], sets: [] }))]];
  }
}

const lookChain = { in: "limits-from-look", out: "limits-to-look" } as const;

function look(direction: "in" | "out", map: string): ChainContent {
  return {
    chain: { name: lookChain[direction] },
    rules: [{ matches: [], actions: [{ do: "dispatch", direction, map }] }],
  };
}

function rulesOf(limits: TrafficLimits | undefined): RuleSpec[] {
  const { packets, connections } = limits ?? {};
  const rules: RuleSpec[] = [];
  if (packets !== undefined) {
    const limit = { count: packets.perSecond, per: "second", burst: packets.burst } as const;
    rules.push({
      matches: [{ match: "rate-over", limit }],
      actions: [{ do: "count" }, { do: "drop" }],
      comment: "packet rate",
    });
  }
  if (connections !== undefined)
    rules.push({
      matches: [
        { match: "connection", states: ["new"] },
        { match: "protocol", numbers: [protocolTcp] },
        { match: "connections-over", count: connections },
      ],
      actions: [{ do: "count" }, { do: "reset" }],
      comment: "connection limit",
    });
  return rules;
}
