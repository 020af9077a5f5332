/**
 * The members of the address sets in use, counted: two endpoints with the same address keep it until both are gone.
 * Only differences since the last flush are told.
 */

import type { Cidr } from "../base/addresses.ts";
import type { EnforcementSink, SetId } from "./enforcement.ts";

interface AddressSet {
  readonly counts: Map<Cidr, number>;
  /** Members touched since the last flush, with whether the sink has them. */
  readonly touched: Map<Cidr, boolean>;
  /** Whether the sink knows this set with the members as of the last flush. */
  told: boolean;
}

export class AddressSets {
  readonly #sets = new Map<SetId, AddressSet>();
  readonly #changed = new Set<SetId>();
  /** Everything the sink knows, including what is to go. */
  readonly #told = new Set<SetId>();

  add(id: SetId): void {
    this.#sets.set(id, { counts: new Map(), touched: new Map(), told: false });
    this.#changed.add(id);
  }

  drop(id: SetId): void {
    this.#sets.delete(id);
    this.#changed.delete(id);
  }

  change(id: SetId, members: readonly Cidr[], difference: 1 | -1): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    this.#changed.add(id);
    for (const member of members) {
      const before = set.counts.get(member) ?? 0;
      if (set.told && !set.touched.has(member)) set.touched.set(member, before > 0);
      if (before + difference > 0) set.counts.set(member, before + difference);
      else set.counts.delete(member);
    }
  }

  flushAdditions(sink: EnforcementSink): void {
    for (const id of this.#changed) {
      const set = this.#sets.get(id);
      if (set === undefined) continue;
      if (set.told) {
        const now = (member: Cidr) => set.counts.has(member);
        const added = [...set.touched].flatMap(([member, had]) => (!had && now(member) ? [member] : []));
        const removed = [...set.touched].flatMap(([member, had]) => (had && !now(member) ? [member] : []));
        if (added.length + removed.length > 0) sink.addressSetDelta(id, added, removed);
      } else {
        sink.addressSet(id, new Set(set.counts.keys()));
        set.told = true;
        this.#told.add(id);
      }
      set.touched.clear();
    }
    this.#changed.clear();
  }

  flushRemovals(sink: EnforcementSink): void {
    for (const id of this.#told) {
      if (this.#sets.has(id)) continue;
      sink.addressSet(id, undefined);
      this.#told.delete(id);
    }
  }
}
