/**
 * Entries found by label, or by label and value, that they stand under. Values that one entry alone has are common
 * (names, ids): they cost no set of their own.
 */

import type { LabelRequirement } from "./selector-requirement.ts";

interface LabelEntries<Entry> {
  /** Under the label with each value; undefined as key: under the bare label. */
  readonly byValue: Map<string | undefined, Entry | Set<Entry>>;
}

/** Entries are objects or strings, never sets. */
export class LabelLookup<Entry extends object | string> {
  readonly #labels = new Map<string, LabelEntries<Entry>>();

  add({ label, value }: LabelRequirement, entry: Entry): void {
    let entries = this.#labels.get(label);
    if (entries === undefined) {
      entries = { byValue: new Map() };
      this.#labels.set(label, entries);
    }
    const known = entries.byValue.get(value);
    if (known === undefined) entries.byValue.set(value, entry);
    else if (known instanceof Set) known.add(entry);
    else if (known !== entry) entries.byValue.set(value, new Set([known, entry]));
  }

  remove({ label, value }: LabelRequirement, entry: Entry): void {
    const entries = this.#labels.get(label);
    const known = entries?.byValue.get(value);
    if (entries === undefined || known === undefined) return;
    if (known instanceof Set) {
      known.delete(entry);
      if (known.size > 0) return;
    } else if (known !== entry) return;
    entries.byValue.delete(value);
    if (entries.byValue.size === 0) this.#labels.delete(label);
  }

  removeLabel(label: string): void {
    this.#labels.delete(label);
  }

  /** What stands under this label with this value (undefined: under the bare label). */
  under({ label, value }: LabelRequirement): Iterable<Entry> {
    return listed(this.#labels.get(label)?.byValue.get(value));
  }

  /** What stands under this label, whatever the value. */
  *underLabel(label: string): Iterable<Entry> {
    for (const entry of this.#labels.get(label)?.byValue.values() ?? []) yield* listed(entry);
  }
}

function listed<Entry extends object | string>(known: Entry | Set<Entry> | undefined): Iterable<Entry> {
  if (known === undefined) return [];
  return known instanceof Set ? known : [known];
}
