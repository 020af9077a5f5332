/**
 * What one framework has refused: per role and agent, the resources it does not want to see again before a time.
 * An offer that is contained in refused resources is held back; a larger one passes.
 */

import type { Resources } from "../protocol/resources.ts";

interface Refusal {
  readonly resources: Resources;
  readonly untilMs: number;
}

const secondsDefault = 5;
const secondsMax = 365 * 24 * 3_600;

/** Seconds a filter lives as asked for; absent or negative means the default, 0 no filter. */
export function refuseSeconds(asked: number | undefined): number {
  if (asked === undefined || Number.isNaN(asked) || asked < 0) return secondsDefault;
  return Math.min(asked, secondsMax);
}

export class OfferFilters {
  readonly #byRole = new Map<string, Map<string, Refusal[]>>();

  refuse(role: string, agentId: string, resources: Resources, untilMs: number): void {
    const agents = this.#byRole.get(role) ?? new Map<string, Refusal[]>();
    this.#byRole.set(role, agents);
    agents.set(agentId, [...(agents.get(agentId) ?? []), { resources, untilMs }]);
  }

  /** Also forgets what is over. */
  refused(role: string, nowMs: number): ReadonlyMap<string, readonly Resources[]> {
    const agents = this.#byRole.get(role);
    const result = new Map<string, readonly Resources[]>();
    for (const [agentId, refusals] of agents ?? []) {
      const alive = refusals.filter((refusal) => refusal.untilMs > nowMs);
      if (alive.length === 0) agents?.delete(agentId);
      else if (alive.length < refusals.length) agents?.set(agentId, alive);
      if (alive.length > 0)
        result.set(
          agentId,
          alive.map((refusal) => refusal.resources),
        );
    }
    return result;
  }

  clearRole(role: string): void {
    this.#byRole.delete(role);
  }

  clearAgent(agentId: string): void {
    for (const agents of this.#byRole.values()) agents.delete(agentId);
  }

  count(role: string): number {
    return this.#byRole.get(role)?.size ?? 0;
  }
}
