/**
 * The address sets of selectors: their members, and what of them stands in the kernel while a rule refers to them.
 * Single addresses and wider networks are kept apart (see chain-names.ts); networks hide the members they cover.
 */
import { type Cidr, ipFamily, networkAddress, prefixLength } from "../../base/addresses.ts";
import { CoveredNetworks } from "../../kernel/nftables/networks.ts";
import type { SetId } from "../../policy/enforcement.ts";
import { addressSetName } from "./chain-names.ts";
import type { TrackedSets } from "./tracked-sets.ts";

/** In the kernel. */
type SetNames = Readonly<Record<4 | 6, Readonly<Record<"addresses" | "networks", string>>>>;

interface AddressSet {
  /** Made once: a set may have as many members as the cluster has endpoints. */
  readonly names: SetNames;
  readonly networks: CoveredNetworks;
  readonly members: Set<Cidr>;
  /** How many visible members are wider than one address. */
  readonly wider: Record<4 | 6, number>;
}

const families = [4, 6] as const;

export class AddressSets {
  readonly #kernel: TrackedSets;
  readonly #onShapeChange: (id: SetId) => void;
  readonly #sets = new Map<SetId, AddressSet>();

  /** @param onShapeChange rules that refer to the set read differently now: it came, went, or has other parts. */
  constructor(kernel: TrackedSets, onShapeChange: (id: SetId) => void) {
    this.#kernel = kernel;
    this.#onShapeChange = onShapeChange;
  }

  /** Undefined: unknown, and what refers to it is closed. */
  define(id: SetId, members: ReadonlySet<Cidr> | undefined): void {
    const before = this.#sets.get(id);
    if (members === undefined) {
      if (!this.#sets.delete(id)) return;
      this.leaveKernel(id);
      this.#onShapeChange(id);
    } else if (before === undefined) {
      const wider = { 4: 0, 6: 0 };
      const names = namesOf(id);
      const networks = new CoveredNetworks((cidr, visible) => this.#memberChanged(id, names, wider, cidr, visible));
      this.#sets.set(id, { names, members: new Set(members), wider, networks });
      for (const member of members) networks.add(member);
      this.#onShapeChange(id);
    } else {
      const gone = [...before.members].filter((member) => !members.has(member));
      removeMembers(before, gone);
      addMembers(before, members);
    }
  }

  /** Of a set never defined this makes none: it stays unknown. */
  change(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    removeMembers(set, removed);
    addMembers(set, added);
  }

  has(id: SetId): boolean {
    return this.#sets.has(id);
  }

  readonly hasNetworks = (id: SetId, family: 4 | 6): boolean => (this.#sets.get(id)?.wider[family] ?? 0) > 0;

  /** A rule refers to it as it is now. */
  enterKernel(id: SetId): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    for (const family of families) {
      const { addresses, networks } = set.names[family];
      if (!this.#kernel.wants(addresses)) this.#enter(set, family, "addresses");
      if (!this.hasNetworks(id, family)) this.#kernel.unwantSet(networks);
      else if (!this.#kernel.wants(networks)) this.#enter(set, family, "networks");
    }
  }

  leaveKernel(id: SetId): void {
    for (const family of families)
      for (const part of ["addresses", "networks"] as const) this.#kernel.unwantSet(addressSetName(id, family, part));
  }

  #enter(set: AddressSet, family: 4 | 6, part: "addresses" | "networks"): void {
    const name = set.names[family][part];
    this.#kernel.wantSet({ name, kind: `${part}${family}` });
    for (const cidr of set.networks.visible) {
      const element = elementOf(set.names, cidr);
      if (element.set === name) this.#kernel.wantElement(name, element.key, { key: element.key });
    }
  }

  #memberChanged(id: SetId, names: SetNames, wider: Record<4 | 6, number>, cidr: Cidr, visible: boolean): void {
    const { set, key, wide } = elementOf(names, cidr);
    if (wide) {
      const family = ipFamily(cidr);
      wider[family] += visible ? 1 : -1;
      // Rules name the set of networks only while there are any.
      if (wider[family] === (visible ? 1 : 0)) this.#onShapeChange(id);
    }
    if (this.#kernel.wants(set)) this.#kernel.wantElement(set, key, visible ? { key } : undefined);
  }
}

function namesOf(id: SetId): SetNames {
  const ofFamily = (family: 4 | 6) => ({
    addresses: addressSetName(id, family, "addresses"),
    networks: addressSetName(id, family, "networks"),
  });
  return { 4: ofFamily(4), 6: ofFamily(6) };
}

/** Where a member is kept, and under which key. */
function elementOf(names: SetNames, cidr: Cidr): { set: string; key: string; wide: boolean } {
  const family = ipFamily(cidr);
  const wide = prefixLength(cidr) < (family === 4 ? 32 : 128);
  const set = names[family][wide ? "networks" : "addresses"];
  return { set, key: wide ? cidr : networkAddress(cidr), wide };
}

function addMembers(set: AddressSet, members: Iterable<Cidr>): void {
  for (const member of members) {
    if (set.members.has(member)) continue;
    set.members.add(member);
    set.networks.add(member);
  }
}

function removeMembers(set: AddressSet, members: Iterable<Cidr>): void {
  for (const member of members) if (set.members.delete(member)) set.networks.delete(member);
}
