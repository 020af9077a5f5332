/** Counters of the master by the names of its metrics endpoint; a name is there from its first use. */

export class Counters {
  readonly #values = new Map<string, number>();

  add(name: string, by = 1): void {
    this.#values.set(name, (this.#values.get(name) ?? 0) + by);
  }

  get(name: string): number {
    return this.#values.get(name) ?? 0;
  }

  get all(): ReadonlyMap<string, number> {
    return this.#values;
  }
}
