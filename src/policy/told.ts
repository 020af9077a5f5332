/** What the receiver was told last, so that only what differs is told again; and which rule lists that refers to. */
import type { Cidr, IpAddress } from "../base/addresses.ts";
import type { ActiveRules } from "./active-rules.ts";
import { listsOfEndpoint, listsOfHostEndpoint } from "./endpoint-enforcement.ts";
import type {
  EndpointEnforcement,
  EnforcementSink,
  HostEndpointEnforcement,
  HostSettings,
  RuleListId,
} from "./enforcement.ts";

export type Enforcement =
  | { readonly kind: "workload"; readonly enforcement: EndpointEnforcement }
  | { readonly kind: "host"; readonly enforcement: HostEndpointEnforcement };

export interface Change {
  readonly tell: () => void;
  readonly removal: boolean;
}

interface ToldEndpoint {
  readonly kind: Enforcement["kind"];
  readonly text: string;
  readonly lists: ReadonlySet<RuleListId>;
}

export class Told {
  readonly #sink: EnforcementSink;
  readonly #rules: Pick<ActiveRules, "refer">;
  readonly #endpoints = new Map<string, ToldEndpoint>();
  #settings: string | undefined;
  #pools: string | undefined;
  #hosts: string | undefined;

  constructor(sink: EnforcementSink, rules: Pick<ActiveRules, "refer">) {
    this.#sink = sink;
    this.#rules = rules;
  }

  /** What of these endpoints has really changed, with the references to rule lists counted: to be told by whoever asks. */
  changes(keys: Iterable<string>, enforcementOf: (key: string) => Enforcement | undefined): readonly Change[] {
    const changed: Change[] = [];
    for (const key of keys) {
      const now = enforcementOf(key);
      const text = now && JSON.stringify(now.enforcement);
      const before = this.#endpoints.get(key);
      if (text === before?.text) continue;
      const lists = now === undefined ? noLists : listsOf(now);
      for (const id of lists) if (!before?.lists.has(id)) this.#rules.refer(id, 1);
      for (const id of before?.lists ?? noLists) if (!lists.has(id)) this.#rules.refer(id, -1);
      if (now === undefined || text === undefined) this.#endpoints.delete(key);
      else this.#endpoints.set(key, { kind: now.kind, text, lists });
      if (now !== undefined) changed.push({ removal: false, tell: () => this.#tell(key, now) });
      else if (before !== undefined) {
        changed.push({ removal: true, tell: () => this.#tellRemoval(key, before.kind) });
      }
    }
    return changed;
  }

  settings(settings: HostSettings): void {
    const text = JSON.stringify(settings);
    if (text === this.#settings) return;
    this.#settings = text;
    this.#sink.hostSettings?.(settings);
  }

  hosts(addresses: readonly IpAddress[]): void {
    const text = addresses.join();
    if (text === this.#hosts) return;
    this.#hosts = text;
    this.#sink.hostAddresses?.(addresses);
  }

  pools(all: Iterable<{ cidr: Cidr; natOutgoing: boolean }>): void {
    const pools = [...all].sort((a, b) => (a.cidr < b.cidr ? -1 : 1));
    const text = JSON.stringify(pools);
    if (text === this.#pools) return;
    this.#pools = text;
    this.#sink.natPools(pools);
  }

  #tell(key: string, now: Enforcement): void {
    if (now.kind === "workload") this.#sink.endpoint(key, now.enforcement);
    else this.#sink.hostEndpoint?.(key, now.enforcement);
  }

  #tellRemoval(key: string, kind: Enforcement["kind"]): void {
    if (kind === "workload") this.#sink.endpoint(key, undefined);
    else this.#sink.hostEndpoint?.(key, undefined);
  }
}

const noLists: ReadonlySet<RuleListId> = new Set();

function listsOf(now: Enforcement): ReadonlySet<RuleListId> {
  return now.kind === "workload" ? listsOfEndpoint(now.enforcement) : listsOfHostEndpoint(now.enforcement);
}
