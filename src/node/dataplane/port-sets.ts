/** The sets of named ports: addresses with protocol and port, in the kernel while a rule refers to them. */
import { ipFamily } from "../../base/addresses.ts";
import type { PortMember, SetId } from "../../policy/enforcement.ts";
import { parsePortMember } from "../../policy/port-member.ts";
import { portSetName } from "./chain-names.ts";
import type { TrackedSets } from "./tracked-sets.ts";

const families = [4, 6] as const;

export class PortSets {
  readonly #kernel: TrackedSets;
  readonly #onExistence: (id: SetId) => void;
  readonly #sets = new Map<SetId, Set<PortMember>>();

  /** @param onExistence a set came or went: rules that refer to it read differently now. */
  constructor(kernel: TrackedSets, onExistence: (id: SetId) => void) {
    this.#kernel = kernel;
    this.#onExistence = onExistence;
  }

  /** Undefined: unknown, and what refers to it is closed. */
  define(id: SetId, members: ReadonlySet<PortMember> | undefined): void {
    const before = this.#sets.get(id);
    if (members === undefined) {
      if (!this.#sets.delete(id)) return;
      this.leaveKernel(id);
      this.#onExistence(id);
    } else if (before === undefined) {
      this.#sets.set(id, new Set(members));
      this.#onExistence(id);
    } else {
      const gone = [...before].filter((member) => !members.has(member));
      this.change(id, [...members], gone);
    }
  }

  /** Of a set never defined this makes none: it stays unknown. */
  change(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    for (const member of removed) if (set.delete(member)) this.#element(id, member, false);
    for (const member of added) {
      set.add(member);
      this.#element(id, member, true);
    }
  }

  has(id: SetId): boolean {
    return this.#sets.has(id);
  }

  /** A rule refers to it. */
  enterKernel(id: SetId): void {
    const members = this.#sets.get(id);
    if (members === undefined || this.#kernel.wants(portSetName(id, 4))) return;
    for (const family of families)
      this.#kernel.wantSet({ name: portSetName(id, family), kind: `address-ports${family}` });
    for (const member of members) this.#element(id, member, true);
  }

  leaveKernel(id: SetId): void {
    for (const family of families) this.#kernel.unwantSet(portSetName(id, family));
  }

  #element(id: SetId, member: PortMember, wanted: boolean): void {
    const name = portSetName(id, ipFamily(parsePortMember(member).address));
    if (this.#kernel.wants(name)) this.#kernel.wantElement(name, member, wanted ? { key: member } : undefined);
  }
}
