/**
 * The members of the sets in use, counted: two endpoints with the same address keep it until both are gone.
 * Only differences since the last flush are told.
 */

import type { SetId } from "./enforcement.ts";

interface CountedSet<Member> {
  readonly members: Set<Member>;
  /** How often more than once, of those that are: few. */
  readonly more: Map<Member, number>;
  /** Members touched since the last flush, with whether the receiver has them. */
  readonly touched: Map<Member, boolean>;
  /** Whether the receiver knows this set with the members as of the last flush. */
  told: boolean;
}

export interface SetReceiver<Member> {
  whole(id: SetId, members: ReadonlySet<Member> | undefined): void;
  delta(id: SetId, added: readonly Member[], removed: readonly Member[]): void;
}

export class CountedSets<Member extends string> {
  readonly #sets = new Map<SetId, CountedSet<Member>>();
  readonly #changed = new Set<SetId>();
  /** What the receiver knows and does not need any more. */
  readonly #leftOver = new Set<SetId>();

  add(id: SetId): void {
    this.#sets.set(id, { members: new Set(), more: new Map(), touched: new Map(), told: false });
    this.#changed.add(id);
  }

  drop(id: SetId): void {
    if (this.#sets.get(id)?.told) this.#leftOver.add(id);
    this.#sets.delete(id);
    this.#changed.delete(id);
  }

  change(id: SetId, members: readonly Member[], difference: 1 | -1): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    this.#changed.add(id);
    for (const member of members) {
      if (set.told && !set.touched.has(member)) set.touched.set(member, set.members.has(member));
      count(set, member, difference);
    }
  }

  flushAdditions(receiver: SetReceiver<Member>): void {
    for (const id of this.#changed) {
      const set = this.#sets.get(id);
      if (set === undefined) continue;
      if (set.told) {
        const now = (member: Member) => set.members.has(member);
        const added = [...set.touched].flatMap(([member, had]) => (!had && now(member) ? [member] : []));
        const removed = [...set.touched].flatMap(([member, had]) => (had && !now(member) ? [member] : []));
        if (added.length + removed.length > 0) receiver.delta(id, added, removed);
      } else {
        receiver.whole(id, new Set(set.members));
        set.told = true;
        this.#leftOver.delete(id);
      }
      set.touched.clear();
    }
    this.#changed.clear();
  }

  flushRemovals(receiver: SetReceiver<Member>): void {
    for (const id of this.#leftOver) receiver.whole(id, undefined);
    this.#leftOver.clear();
  }
}

function count<Member extends string>({ members, more }: CountedSet<Member>, member: Member, difference: 1 | -1): void {
  const before = members.size;
  // One look-up for the many that are new.
  if (difference === 1 && members.add(member).size > before) return;
  const others = (more.get(member) ?? 0) + difference;
  if (others > 0) more.set(member, others);
  else if (!more.delete(member)) members.delete(member);
}
