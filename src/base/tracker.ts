/**
 * Desired and actual state of one kind of outside object, with the pending difference always at hand, so that a pass
 * costs as much as the change. Values are never mutated in place.
 */

export class Tracker<Key, Value> {
  readonly #equal: (a: Value, b: Value) => boolean;
  readonly #desired = new Map<Key, Value>();
  readonly #actual = new Map<Key, Value>();
  readonly #puts = new Map<Key, Value>();
  readonly #removals = new Set<Key>();

  constructor(equal: (a: Value, b: Value) => boolean = Object.is) {
    this.#equal = equal;
  }

  /** undefined: must not exist. */
  want(key: Key, value: Value | undefined): void {
    if (value === undefined) this.#desired.delete(key);
    else this.#desired.set(key, value);
    this.#compare(key, value);
  }

  /** A complete read-back replaces every belief. */
  observed(all: ReadonlyMap<Key, Value>): void {
    this.#actual.clear();
    for (const [key, value] of all) this.#actual.set(key, value);
    this.#puts.clear();
    this.#removals.clear();
    for (const [key, value] of this.#desired) this.#compare(key, value);
    for (const key of this.#actual.keys()) if (!this.#desired.has(key)) this.#removals.add(key);
  }

  /** The other side has said yes. */
  applied(key: Key, value: Value | undefined): void {
    if (value === undefined) this.#actual.delete(key);
    else this.#actual.set(key, value);
    this.#compare(key, this.#desired.get(key));
  }

  desired(key: Key): Value | undefined {
    return this.#desired.get(key);
  }

  actual(key: Key): Value | undefined {
    return this.#actual.get(key);
  }

  get allDesired(): ReadonlyMap<Key, Value> {
    return this.#desired;
  }

  get allActual(): ReadonlyMap<Key, Value> {
    return this.#actual;
  }

  get pendingPuts(): ReadonlyMap<Key, Value> {
    return this.#puts;
  }

  get pendingRemovals(): ReadonlySet<Key> {
    return this.#removals;
  }

  #compare(key: Key, desired: Value | undefined): void {
    const actual = this.#actual.get(key);
    if (desired === undefined) {
      this.#puts.delete(key);
      if (actual === undefined) this.#removals.delete(key);
      else this.#removals.add(key);
      return;
    }
    this.#removals.delete(key);
    if (actual !== undefined && this.#equal(desired, actual)) this.#puts.delete(key);
    else this.#puts.set(key, desired);
  }
}
