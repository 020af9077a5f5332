/** What the fixed sets of networks hold (pools, hosts): the widest of what they are told, as the kernel takes no overlaps. */
import { type Cidr, ipFamily } from "../../base/addresses.ts";
import { reduceNetworks } from "../../kernel/nftables/networks.ts";
import type { TrackedSets } from "./tracked-sets.ts";

export class FixedNetworks {
  readonly #sets: TrackedSets;
  /** By the name of the IPv4 set. */
  readonly #held = new Map<string, ReadonlySet<Cidr>>();

  constructor(sets: TrackedSets) {
    this.#sets = sets;
  }

  /** The sets of both families hold these, and nothing else. */
  want(set: Readonly<Record<4 | 6, string>>, networks: readonly Cidr[]): void {
    const wanted = new Set(reduceNetworks(networks));
    this.#held.get(set[4])?.forEach((cidr) => {
      if (!wanted.has(cidr)) this.#sets.wantElement(set[ipFamily(cidr)], cidr, undefined);
    });
    for (const cidr of wanted) this.#sets.wantElement(set[ipFamily(cidr)], cidr, { key: cidr });
    this.#held.set(set[4], wanted);
  }
}
