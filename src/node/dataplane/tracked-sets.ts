/** Sets and maps with their elements: what they should hold, what the kernel holds, and the steps in between. */
import { cidrOverlaps, tryParseCidr } from "../../base/addresses.ts";
import { Tracker } from "../../base/tracker.ts";
import {
  type ElementOperation,
  elementValueText,
  type Operation,
  type SetElement,
  type SetKind,
  type SetSpec,
} from "../../kernel/nftables/ruleset.ts";
import type { TableReadBack } from "../../kernel/nftables/tables.ts";

interface TrackedSet {
  readonly spec: SetSpec;
  readonly elements: Tracker<string, SetElement>;
}

export interface SetCounts {
  readonly sets: number;
  /** Those of the sets that hold addresses of the family. */
  readonly addressSets: Readonly<Record<4 | 6, number>>;
  readonly maps: number;
}

const sameElement = (a: SetElement, b: SetElement) => elementValueText(a) === elementValueText(b);

export class TrackedSets {
  /** Every set anybody wants or the kernel has. */
  readonly #sets = new Map<string, TrackedSet>();
  readonly #existence = new Tracker<string, SetSpec>((a, b) => a.kind === b.kind);
  /** Sets with pending elements: a pass looks at these only. */
  readonly #changed = new Set<string>();

  wantSet(spec: SetSpec): void {
    const before = this.#sets.get(spec.name);
    if (before?.spec.kind !== spec.kind) this.#sets.set(spec.name, newSet(spec));
    this.#existence.want(spec.name, spec);
    this.#changed.add(spec.name);
  }

  /** Its elements go with it. */
  unwantSet(name: string): void {
    const set = this.#sets.get(name);
    if (set === undefined) return;
    for (const key of [...set.elements.allDesired.keys()]) set.elements.want(key, undefined);
    this.#existence.want(name, undefined);
    this.#changed.delete(name);
    if (this.#existence.actual(name) === undefined) this.#sets.delete(name);
  }

  wants(name: string): boolean {
    return this.#existence.desired(name) !== undefined;
  }

  wantElement(set: string, key: string, element: SetElement | undefined): void {
    const tracked = this.#sets.get(set);
    if (tracked === undefined) return;
    tracked.elements.want(key, element);
    this.#changed.add(set);
  }

  /** A complete read-back; undefined when there is no table. */
  observed(readBack: TableReadBack | undefined): void {
    const existence = new Map<string, SetSpec>();
    for (const [name, { kind, elements }] of readBack?.sets ?? []) {
      // A kind nobody here writes: something else is wanted under the name, or it is to be swept.
      const spec: SetSpec = { name, kind: kind ?? "interfaces" };
      existence.set(name, kind === undefined ? { name, kind: "interfaces" } : spec);
      const tracked = this.#sets.get(name) ?? newSet(spec);
      this.#sets.set(name, tracked);
      tracked.elements.observed(elements);
      this.#changed.add(name);
    }
    for (const [name, tracked] of this.#sets) {
      if (existence.has(name)) continue;
      tracked.elements.observed(new Map());
      if (this.wants(name)) this.#changed.add(name);
      else this.#sets.delete(name);
    }
    this.#existence.observed(existence);
  }

  /** True when a set of another kind stands under a wanted name: no single step leads from one to the other. */
  get conflict(): boolean {
    for (const name of this.#existence.pendingPuts.keys()) if (this.#existence.actual(name) !== undefined) return true;
    return false;
  }

  /** Of the kernel's, as far as it has said yes. */
  get counts(): SetCounts {
    const kinds = [...this.#existence.allActual.values()].map(({ kind }) => kind);
    const isMap = (kind: SetKind) => kind === "interface-verdicts" || kind.startsWith("address-map");
    const sets = kinds.filter((kind) => !isMap(kind));
    const ofFamily = (family: 4 | 6) => sets.filter((kind) => kind.endsWith(`${family}`)).length;
    return { sets: sets.length, addressSets: { 4: ofFamily(4), 6: ofFamily(6) }, maps: kinds.length - sets.length };
  }

  get pendingCount(): number {
    let count = this.#existence.pendingPuts.size + this.#existence.pendingRemovals.size;
    for (const name of this.#changed) {
      const elements = this.#sets.get(name)?.elements;
      if (elements !== undefined && this.wants(name))
        count += elements.pendingPuts.size + elements.pendingRemovals.size;
    }
    return count;
  }

  /** Steps before chains change: new sets, then elements. @param sweep also take out what nobody wants. */
  additions(sweep: boolean): {
    readonly sets: Operation[];
    readonly removals: Operation[];
    readonly puts: Operation[];
  } {
    const sets: Operation[] = [...this.#existence.pendingPuts.values()].map((set) => ({ op: "add-set", set }));
    const removals: ElementOperation[] = [];
    const puts: ElementOperation[] = [];
    for (const name of this.#changed) {
      const set = this.#sets.get(name);
      if (set === undefined || !this.wants(name)) continue;
      const { elements } = set;
      // A changed verdict is a removal and an addition; both are in force at the same instant.
      const replaced = [...elements.pendingPuts.keys()].filter((key) => elements.actual(key) !== undefined);
      const removed = [...swept(elements, sweep), ...replaced].map((key) => ({ key }));
      if (removed.length > 0) removals.push({ op: "delete-elements", set: set.spec, elements: removed });
      const added = [...elements.pendingPuts.values()];
      if (added.length > 0) puts.push({ op: "add-elements", set: set.spec, elements: added });
    }
    return { sets, removals, puts };
  }

  /** Steps after chains changed: sets nobody refers to any more. */
  removals(): Operation[] {
    return [...this.#existence.pendingRemovals].map((name) => {
      const set = this.#sets.get(name)?.spec ?? { name, kind: "interfaces" as const };
      return { op: "delete-set", set };
    });
  }

  /** From nothing: every wanted set with all it should hold. */
  everything(): Operation[] {
    return [...this.#existence.allDesired.values()].flatMap((set): Operation[] => {
      const elements = [...(this.#sets.get(set.name)?.elements.allDesired.values() ?? [])];
      const add: Operation = { op: "add-set", set };
      return elements.length === 0 ? [add] : [add, { op: "add-elements", set, elements }];
    });
  }

  /** The kernel has said yes to additions() and, when swept, to removals(). */
  applied(sweep: boolean): void {
    for (const [name, spec] of [...this.#existence.pendingPuts]) this.#existence.applied(name, spec);
    for (const name of [...this.#changed]) {
      const set = this.#sets.get(name);
      if (set === undefined || !this.wants(name)) continue;
      const gone = [...swept(set.elements, sweep)];
      for (const [key, element] of [...set.elements.pendingPuts]) set.elements.applied(key, element);
      for (const key of gone) set.elements.applied(key, undefined);
      if (set.elements.pendingRemovals.size === 0) this.#changed.delete(name);
    }
    if (!sweep) return;
    for (const name of [...this.#existence.pendingRemovals]) {
      this.#existence.applied(name, undefined);
      this.#sets.delete(name);
    }
  }

  /** The kernel has said yes to everything(), in place of all there was. */
  appliedEverything(): void {
    for (const [name, set] of [...this.#sets]) {
      set.elements.observed(this.wants(name) ? new Map(set.elements.allDesired) : new Map());
      if (!this.wants(name)) this.#sets.delete(name);
    }
    this.#existence.observed(new Map(this.#existence.allDesired));
    this.#changed.clear();
  }
}

/**
 * The unwanted elements to take out now. Before everything is known that is only what stands in the way of a wanted one:
 * the kernel refuses a network that overlaps another.
 */
function swept({ pendingRemovals, pendingPuts }: Tracker<string, SetElement>, sweep: boolean): Iterable<string> {
  if (sweep || pendingRemovals.size === 0 || pendingPuts.size === 0) return sweep ? pendingRemovals : [];
  const puts = [...pendingPuts.keys()].flatMap((key) => tryParseCidr(key) ?? []);
  return [...pendingRemovals].filter((key) => {
    const cidr = tryParseCidr(key);
    return cidr !== undefined && puts.some((put) => cidrOverlaps(put, cidr));
  });
}

function newSet(spec: SetSpec): TrackedSet {
  return { spec, elements: new Tracker<string, SetElement>(sameElement) };
}
