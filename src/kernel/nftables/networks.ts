/**
 * Interval sets of the kernel refuse a network that another member covers, and deleting a covered one fails even with
 * auto-merge. So only the widest networks of a membership go down. CoveredNetworks keeps that difference up to date as
 * members come and go, each at the cost of its own prefix, not of the set.
 */
import { type Cidr, cidrAround, ipFamily, networkAddress, prefixLength } from "../../base/addresses.ts";

/** The given networks without those covered by another; 0.0.0.0/0 and ::/0 in halves; sorted as given. */
export function reduceNetworks(networks: Iterable<Cidr>): Cidr[] {
  const covered = new CoveredNetworks();
  for (const network of networks) covered.add(network);
  return [...covered.visible];
}

export class CoveredNetworks {
  readonly #onChange: (cidr: Cidr, visible: boolean) => void;
  /** With how often it was added: a half of a /0 may also be a member by itself. */
  readonly #members = new Map<Cidr, number>();
  /** Covered by another member: few, while most members of a large set are single addresses. */
  readonly #hidden = new Set<Cidr>();
  /** How many members have a given length: only lengths in use are looked up. */
  readonly #lengths: Record<4 | 6, Map<number, number>> = { 4: new Map(), 6: new Map() };

  /** @param onChange told of each network that must come into the kernel or leave it. */
  constructor(onChange: (cidr: Cidr, visible: boolean) => void = () => {}) {
    this.#onChange = onChange;
  }

  /** What must be in the kernel. */
  get visible(): Iterable<Cidr> {
    return this.#members.keys().filter((cidr) => !this.#hidden.has(cidr));
  }

  add(cidr: Cidr): void {
    for (const half of halves(cidr)) this.#addOne(half);
  }

  delete(cidr: Cidr): void {
    for (const half of halves(cidr)) this.#deleteOne(half);
  }

  #addOne(cidr: Cidr): void {
    const before = this.#members.get(cidr) ?? 0;
    this.#members.set(cidr, before + 1);
    if (before > 0) return;
    const lengths = this.#lengths[ipFamily(cidr)];
    const length = prefixLength(cidr);
    lengths.set(length, (lengths.get(length) ?? 0) + 1);
    // Networks of one length never cover each other: the common case, single addresses only.
    if (lengths.size > 1) {
      if (this.#coveredByOther(cidr)) {
        this.#hidden.add(cidr);
        return;
      }
      if (this.#narrowest(cidr) > length)
        for (const other of this.visible) if (coveredBy(other, cidr)) this.#hide(other);
    }
    this.#onChange(cidr, true);
  }

  #deleteOne(cidr: Cidr): void {
    const before = this.#members.get(cidr);
    if (before === undefined) return;
    if (before > 1) {
      this.#members.set(cidr, before - 1);
      return;
    }
    this.#members.delete(cidr);
    const lengths = this.#lengths[ipFamily(cidr)];
    const length = prefixLength(cidr);
    const left = (lengths.get(length) ?? 1) - 1;
    if (left === 0) lengths.delete(length);
    else lengths.set(length, left);
    if (this.#hidden.delete(cidr)) return;
    this.#onChange(cidr, false);
    if (this.#narrowest(cidr) > length)
      for (const other of this.#hidden)
        if (coveredBy(other, cidr) && !this.#coveredByOther(other)) {
          this.#hidden.delete(other);
          this.#onChange(other, true);
        }
  }

  #hide(cidr: Cidr): void {
    this.#hidden.add(cidr);
    this.#onChange(cidr, false);
  }

  /** The greatest prefix length among members of the family: when it is no greater, the CIDR covers no other. */
  #narrowest(cidr: Cidr): number {
    return Math.max(-1, ...this.#lengths[ipFamily(cidr)].keys());
  }

  #coveredByOther(cidr: Cidr): boolean {
    const length = prefixLength(cidr);
    const address = networkAddress(cidr);
    for (const other of this.#lengths[ipFamily(cidr)].keys())
      if (other < length && this.#members.has(cidrAround(address, other))) return true;
    return false;
  }
}

function coveredBy(inner: Cidr, outer: Cidr): boolean {
  const length = prefixLength(outer);
  return (
    ipFamily(inner) === ipFamily(outer) &&
    prefixLength(inner) > length &&
    cidrAround(networkAddress(inner), length) === outer
  );
}

/** Older nft cannot hold a /0 in an interval set; two halves say the same. A half of a /0 and a given /1 are one. */
function halves(cidr: Cidr): readonly Cidr[] {
  if (prefixLength(cidr) !== 0) return [cidr];
  const all = ipFamily(cidr) === 4 ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"];
  return all as Cidr[];
}
