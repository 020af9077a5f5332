/** Which instances go first on scale-down (reference: marathon-behaviour 2.5). Pure. */

import type { App } from "../app/app.ts";
import type { Condition, Health, Instance } from "./instance.ts";

const stateRank: Partial<Record<Condition, number>> = {
  UnreachableInactive: 0,
  Unreachable: 0,
  Provisioned: 1,
  Staging: 1,
  Starting: 2,
  Killing: 2,
  Running: 3,
};

/**
 * `count` victims among `instances`: outdated and unreachable ones before running ones, then by the app's killSelection;
 * with GROUP_BY always from the largest group, so that the rest stays even. Without it, from the host with most of them.
 */
export function chooseVictims(
  app: Pick<App, "killSelection" | "constraints"> | undefined,
  instances: readonly Instance[],
  health: (instance: Instance) => Health,
  count: number,
): readonly Instance[] {
  const remaining = [...instances];
  const victims: Instance[] = [];
  const field = app?.constraints.find(({ operator }) => operator === "GROUP_BY")?.field;
  const groupOf = (instance: Instance) => (field === undefined ? instance.hostname : groupKey(instance, field));
  while (victims.length < count && remaining.length > 0) {
    const sizes = new Map<string, number>();
    for (const instance of remaining) sizes.set(groupOf(instance), (sizes.get(groupOf(instance)) ?? 0) + 1);
    const sizeOf = (instance: Instance) => sizes.get(groupOf(instance)) ?? 0;
    const next = remaining.reduce((best, candidate) =>
      compareVictims(candidate, best, app, health, sizeOf, field !== undefined) < 0 ? candidate : best,
    );
    victims.push(next);
    remaining.splice(remaining.indexOf(next), 1);
  }
  return victims;
}

function compareVictims(
  a: Instance,
  b: Instance,
  app: Pick<App, "killSelection"> | undefined,
  health: (instance: Instance) => Health,
  sizeOf: (instance: Instance) => number,
  groupsFirst: boolean,
): number {
  const byGroup = sizeOf(b) - sizeOf(a);
  if (groupsFirst && byGroup !== 0) return byGroup;
  const byState = (stateRank[a.condition] ?? 0) - (stateRank[b.condition] ?? 0);
  if (byState !== 0) return byState;
  const byHealth = healthRank(health(a)) - healthRank(health(b));
  if (byHealth !== 0) return byHealth;
  const byAge = (a.startedAtMs ?? a.stagedAtMs) - (b.startedAtMs ?? b.stagedAtMs);
  if (byAge !== 0) return app?.killSelection === "OLDEST_FIRST" ? byAge : -byAge;
  // Launched together: take the fuller host's, and by id, so that the choice is the same each time it is asked for.
  if (byGroup !== 0) return byGroup;
  return a.id < b.id ? -1 : 1;
}

function healthRank(health: Health): number {
  return health === "unhealthy" ? 0 : health === "unknown" ? 1 : 2;
}

export function groupKey(instance: Pick<Instance, "attributes" | "hostname">, field: string): string {
  if (field === "hostname" || field === "@hostname") return instance.hostname;
  return instance.attributes[field] ?? "";
}
