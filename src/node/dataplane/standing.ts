/** How what was said to the data plane stands in the kernel: answers for status, metrics and whoever waits for an endpoint. */
import type { Cidr } from "../../base/addresses.ts";
import type { Parts } from "./digest.ts";
import type { FilterCounts, Ruleset } from "./ruleset.ts";

export interface ObjectCounts extends FilterCounts {
  readonly routes: number;
  /** Of the host, whoever's they are. */
  readonly interfaces: number;
}

export class Standing {
  readonly #parts: Parts;
  readonly #ruleset: Ruleset;

  constructor(parts: Parts, ruleset: Ruleset) {
    this.#parts = parts;
    this.#ruleset = ruleset;
  }

  /** Why an endpoint is not (fully) in force although apply() succeeded; undefined: it is. */
  problemOf(key: string): string | undefined {
    const { interfaces, hostInterfaces } = this.#parts;
    const name = interfaces.endpoints.interfaceOf(key);
    const limits = name && this.#ruleset.limitProblemOf(name);
    return interfaces.endpoints.problemOf(key) ?? limits ?? hostInterfaces.problemOf(key);
  }

  /**
   * For status: "up" when its interface is there, up and configured; "error" where nothing becomes of it before somebody
   * changes something (a host endpoint without interface, two endpoints on one).
   */
  stateOf(key: string): "up" | "down" | "error" {
    const { interfaces, hostInterfaces } = this.#parts;
    const { endpoints } = interfaces;
    if (!hostInterfaces.has(key)) {
      const state = endpoints.stateOf(key);
      const name = endpoints.interfaceNameOf(key);
      return state === "up" && name !== undefined && interfaces.waitsForSettings(name) ? "down" : state;
    }
    const name = hostInterfaces.interfaceOf(key);
    if (name === undefined) return "error";
    if (name === "*") return "up";
    const link = endpoints.link(name);
    return link === undefined ? "error" : link.up ? "up" : "down";
  }

  /** Interfaces in force that have not the bandwidth they should have, with the reason. */
  get bandwidthProblems(): ReadonlyMap<string, string> {
    return this.#parts.bandwidth.problems;
  }

  /** Blocks of other hosts that have no route, with the kernel's reason; tried again with every pass. */
  get unreachableBlocks(): ReadonlyMap<Cidr, string> {
    return this.#parts.routes.unreachable;
  }

  /** Chains (of policies, profiles) that drop everything because this kernel cannot do what they say. */
  get refusedChains(): readonly string[] {
    return [...this.#ruleset.refusedChains];
  }

  /** What of ours is in the kernel. */
  get objectCounts(): ObjectCounts {
    const { routes, interfaces } = this.#parts;
    return {
      ...this.#ruleset.counts,
      routes: routes.plan.tracker.allActual.size,
      interfaces: interfaces.endpoints.linkCount,
    };
  }
}
