/** Scalar amounts by name, in thousandths: what fairness is computed on. Names, not roles or reservations, count. Pure. */

import type { Resource } from "../protocol/resource-info.ts";

export type Quantities = ReadonlyMap<string, number>;

const thousandths = 1_000;

export function quantitiesOf(resources: readonly Resource[]): Map<string, number> {
  const sum = new Map<string, number>();
  addQuantities(sum, resources, 1);
  return sum;
}

/** Changes `sum` in place. */
export function addQuantities(sum: Map<string, number>, resources: readonly Resource[], sign: 1 | -1): void {
  for (const resource of resources) {
    if (resource.type !== "SCALAR") continue;
    const amount = Math.round((resource.scalar?.value ?? 0) * thousandths);
    const next = (sum.get(resource.name) ?? 0) + sign * amount;
    if (next === 0) sum.delete(resource.name);
    else sum.set(resource.name, next);
  }
}

export function quantitiesFrom(scalars: Readonly<Record<string, { readonly value: number }>>): Quantities {
  return new Map(Object.entries(scalars).map(([name, scalar]) => [name, Math.round(scalar.value * thousandths)]));
}

/** Every named amount is reached. */
export function reaches(have: Quantities, wanted: Quantities): boolean {
  for (const [name, amount] of wanted) if ((have.get(name) ?? 0) < amount) return false;
  return true;
}

/** The largest part of any one total that is held. */
export function dominantShare(held: Quantities, total: Quantities, excluded: ReadonlySet<string>): number {
  let share = 0;
  for (const [name, amount] of held) {
    const whole = total.get(name) ?? 0;
    if (whole > 0 && !excluded.has(name)) share = Math.max(share, amount / whole);
  }
  return share;
}
