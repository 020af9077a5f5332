/**
 * A host network in memory. It refuses what the kernel refuses, tells its state as text, and can be made to fail. The
 * contract in host-network-contract.ts holds it to the real one.
 */
import type { Cidr, IpAddress } from "../../base/addresses.ts";
import type { Change } from "../changes.ts";
import type { ForeignRoute } from "../foreign-routes.ts";
import type { HostNetwork } from "../host-network.ts";
import type { IptablesChain, IptablesProgram, IptablesRule, IptablesTable } from "../iptables.ts";
import { kernelError } from "../libc.ts";
import type { Link, LinkChange, VethSpec } from "../links.ts";
import { renderRule, renderTransaction } from "../nftables/render.ts";
import { type ChainSpec, elementValueText, type Operation, type RuleSpec } from "../nftables/ruleset.ts";
import { hashFromComments, type TableReadBack } from "../nftables/tables.ts";
import type { Route } from "../routes.ts";
import type { Setting } from "../sysctl.ts";
import { FakeShaping, shapingCalls } from "./fake-shaping.ts";
import { applyOperation, checkReferences, copyOf, type FakeTable, refuse } from "./fake-table.ts";

/**
 * "before": refused, nothing happened. "after": it took effect, and the answer was lost. "interrupted": as "before", with
 * the code of a dump during which the table kept changing.
 */
export type Fault = "before" | "after" | "interrupted";
export const faultyCalls = [
  "commit",
  "readTable",
  "links",
  "createVeth",
  "setLink",
  "deleteLink",
  "routes",
  "putRoute",
  "removeRoute",
  "foreignRoutes",
  "removeForeignRoute",
  "linkWithAddress",
  "readSetting",
  "writeSetting",
  "forgetFlows",
  "iptablesTables",
  ...shapingCalls,
] as const;
export type FaultyCall = (typeof faultyCalls)[number];

export class FakeNetwork implements HostNetwork {
  readonly #links = new Map<string, Link & { peer: string }>();
  readonly #routes = new Map<string, Route>();
  readonly #foreign: ForeignRoute[] = [];
  readonly #addresses = new Map<IpAddress, string>();
  readonly #settings = new Map<string, string>();
  readonly #iptables: string[] = [];
  readonly #faults = new Map<FaultyCall, Fault>();
  /** Each reads the addresses of all interfaces of a real one. */
  addressLookups = 0;
  #table: FakeTable | undefined;
  #changes: Change[] = [];
  #nextIndex = 2;
  /** Addresses of hosts that can be a gateway. */
  readonly neighbours = new Set<string>();
  readonly forgotten: IpAddress[] = [];
  commits = 0;
  readonly shaping = new FakeShaping({
    exists: (index) => [...this.#links.values()].some((link) => link.index === index),
    create: (name, alias) => {
      if (this.#links.has(name)) throw kernelError(`create device ${name}`, "EEXIST");
      this.#setLink({ ...bareLink(name, this.#nextIndex++), kind: "ifb", alias, peer: "" });
    },
    attempt: (call, work) => this.#attempt(call, work),
  });
  /** Rules this kernel cannot do. */
  incapableOf: (rule: RuleSpec) => boolean = () => false;

  constructor() {
    this.#links.set("lo", { ...bareLink("lo", 1), up: true, peer: "" });
  }

  /** The next such call fails. */
  failNext(call: FaultyCall, fault: Fault): void {
    this.#faults.set(call, fault);
  }

  get pendingFaults(): number {
    return this.#faults.size;
  }

  links(): readonly Link[] {
    return this.#attempt("links", () => [...this.#links.values()].map(({ peer: _, ...link }) => link));
  }

  linkWithAddress(address: IpAddress): Link | undefined {
    this.addressLookups++;
    return this.#attempt("linkWithAddress", () => this.#links.get(this.#addresses.get(address) ?? ""));
  }

  createVeth(spec: VethSpec): void {
    this.#attempt("createVeth", () => this.#createVeth(spec));
  }

  #createVeth(spec: VethSpec): void {
    for (const name of [spec.name, spec.peerName])
      if (this.#links.has(name)) throw kernelError(`create veth ${spec.name}`, "EEXIST");
    for (const [name, peer] of [
      [spec.peerName, spec.name],
      [spec.name, spec.peerName],
    ] as const)
      this.#setLink({ ...bareLink(name, this.#nextIndex++), kind: "veth", alias: spec.alias ?? "", peer });
  }

  setLink(name: string, change: LinkChange): void {
    this.#attempt("setLink", () => this.#changeLink(name, change));
  }

  #changeLink(name: string, change: LinkChange): void {
    const link = this.#links.get(name);
    if (link === undefined) throw kernelError(`change link ${name}`, "ENODEV");
    if (change.up === false) this.#dropRoutesOver(link.index);
    this.#setLink({ ...link, up: change.up ?? link.up, alias: change.alias ?? link.alias });
  }

  deleteLink(name: string): boolean {
    return this.#attempt("deleteLink", () => this.#deleteLink(name));
  }

  async deleteLinkInBackground(name: string): Promise<boolean> {
    return this.deleteLink(name);
  }

  #deleteLink(name: string): boolean {
    const link = this.#links.get(name);
    if (link === undefined) return false;
    for (const gone of [link, this.#links.get(link.peer)]) {
      if (gone === undefined) continue;
      this.#links.delete(gone.name);
      this.#dropRoutesOver(gone.index);
      this.#changes.push({ kind: "link-gone", index: gone.index, name: gone.name });
    }
    return true;
  }

  routes(): readonly Route[] {
    return this.#attempt("routes", () => [...this.#routes.values()]);
  }

  putRoute(route: Route): void {
    this.#attempt("putRoute", () => {
      const { target } = route;
      const doing = `add route ${route.destination}`;
      if (target.kind === "link") {
        const link = [...this.#links.values()].find(({ index }) => index === target.interfaceIndex);
        if (link === undefined) throw kernelError(doing, "ENODEV");
        if (!link.up) throw kernelError(doing, "ENETDOWN");
      }
      if (route.source !== undefined && !this.#addresses.has(route.source)) throw kernelError(doing, "EINVAL");
      if (target.kind === "gateway" && !this.neighbours.has(target.gateway)) throw kernelError(doing, "ENETUNREACH");
      this.#routes.set(`${route.destination} ${route.metric}`, route);
    });
  }

  removeRoute(route: Pick<Route, "destination" | "metric">): boolean {
    return this.#attempt("removeRoute", () => this.#routes.delete(`${route.destination} ${route.metric}`));
  }

  foreignRoutes(): readonly ForeignRoute[] {
    return this.#attempt("foreignRoutes", () => [...this.#foreign]);
  }

  removeForeignRoute(route: ForeignRoute): boolean {
    return this.#attempt("removeForeignRoute", () => {
      const at = this.#foreign.findIndex((one) => foreignText(one) === foreignText(route));
      if (at >= 0) this.#foreign.splice(at, 1);
      return at >= 0;
    });
  }

  readSetting(setting: Setting): string | undefined {
    return this.#attempt("readSetting", () =>
      this.#linkOfSettingExists(setting) ? (this.#settings.get(setting.join("/")) ?? "0") : undefined,
    );
  }

  writeSetting(setting: Setting, value: string): void {
    this.#attempt("writeSetting", () => {
      if (!this.#linkOfSettingExists(setting)) throw kernelError(`set sysctl net/${setting.join("/")}`, "ENOENT");
      this.#settings.set(setting.join("/"), value);
    });
  }

  forgetFlows(addresses: readonly IpAddress[]): number {
    return this.#attempt("forgetFlows", () => this.forgotten.push(...addresses));
  }

  commit(operations: readonly Operation[]): void {
    this.#attempt("commit", () => {
      renderTransaction("fake", operations); // refuses names and values that cannot be written
      let table = this.#table === undefined ? undefined : copyOf(this.#table);
      for (const operation of operations) table = applyOperation(table, operation);
      for (const [name, { rules }] of table?.chains ?? [])
        for (const rule of rules) if (table !== undefined) checkReferences(table, name, rule);
      if (operations.some((operation) => operation.op === "add-rule" && this.incapableOf(operation.rule)))
        refuse("the kernel lacks a feature");
      this.#table = table;
      this.commits++;
    });
  }

  acceptsChain(_chain: ChainSpec, rules: readonly RuleSpec[]): boolean {
    return !rules.some((rule) => this.incapableOf(rule));
  }

  readTable(): TableReadBack | undefined {
    return this.#attempt("readTable", () => {
      const table = this.#table;
      if (table === undefined) return undefined;
      const chains = [...table.chains].map(
        ([name, { rules }]) => [name, hashFromComments(rules.map((rule) => rule.comment ?? ""))] as const,
      );
      const sets = [...table.sets].map(
        ([name, { spec, elements }]) => [name, { kind: spec.kind, elements: new Map(elements) }] as const,
      );
      return { chains: new Map(chains), sets: new Map(sets) };
    });
  }

  /** It does not look. */
  tableMayHaveChanged(): boolean {
    return true;
  }

  changes(): readonly Change[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  iptablesTables(): readonly IptablesTable[] {
    return this.#attempt("iptablesTables", () => [{ program: "iptables-nft", chains: ["FORWARD"] }]);
  }

  async markedIptablesRules(
    _program: IptablesProgram,
    chain: IptablesChain,
    comment: string,
  ): Promise<readonly string[]> {
    return this.#iptables.filter((line) => line.startsWith(`-A ${chain} `) && line.includes(comment));
  }

  async appendIptablesRule(_program: IptablesProgram, rule: IptablesRule): Promise<void> {
    this.#iptables.push(printed(rule));
  }

  async deleteIptablesRule(_program: IptablesProgram, rule: IptablesRule): Promise<boolean> {
    const at = this.#iptables.indexOf(printed(rule));
    if (at >= 0) this.#iptables.splice(at, 1);
    return at >= 0;
  }

  [Symbol.dispose](): void {}

  /** Somebody else does this to our table. */
  interfere(operations: readonly Operation[], options: { noticed: boolean }): void {
    this.commit(operations);
    if (options.noticed) this.#changes.push({ kind: "table", family: 1, table: "margay" });
  }

  /** Somebody else makes a route. */
  addForeignRoute(route: ForeignRoute): void {
    this.#foreign.push(route);
    this.#changes.push({ kind: "foreign-route", route });
  }

  /** Somebody gives an interface an address, or takes it. */
  setAddress(address: IpAddress, link: string | undefined): void {
    if (link === undefined) this.#addresses.delete(address);
    else this.#addresses.set(address, link);
    this.#changes.push({ kind: link === undefined ? "address-gone" : "address", address });
  }

  /** What happened since the last look did not fit the socket's buffer. */
  loseEvents(): void {
    this.#changes = [{ kind: "lost", source: "links-and-routes" }];
  }

  /** Nothing fails any more. */
  mend(): void {
    this.#faults.clear();
  }

  /** Somebody else takes a route away, unnoticed. */
  loseRoute(destination: Cidr): void {
    for (const [key, route] of this.#routes) if (route.destination === destination) this.#routes.delete(key);
  }

  /** The whole state, sorted: what one would compare. */
  text(): string {
    const lines: string[] = [];
    for (const { name, up, alias } of this.#links.values()) lines.push(`link ${name} ${up ? "up" : "down"} ${alias}`);
    for (const { destination, target, source } of this.#routes.values()) {
      const index = target.kind === "link" ? target.interfaceIndex : 0;
      const link = [...this.#links.values()].find((candidate) => candidate.index === index)?.name ?? "";
      const to = target.kind === "gateway" ? `via ${target.gateway}` : target.kind === "link" ? `dev ${link}` : "";
      lines.push(`route ${target.kind} ${destination} ${to}${source === undefined ? "" : ` src ${source}`}`);
    }
    lines.push(
      ...this.shaping.text((index) => [...this.#links.values()].find((link) => link.index === index)?.name ?? "?"),
    );
    for (const route of this.#foreign) lines.push(`foreign route ${foreignText(route)}`);
    for (const [name, { spec, elements }] of this.#table?.sets ?? []) {
      lines.push(`set ${name} ${spec.kind}`);
      for (const element of elements.values()) {
        const value = elementValueText(element);
        lines.push(`element ${name} ${element.key}${value === "" ? "" : ` : ${value}`}`);
      }
    }
    for (const [name, { hook, rules }] of this.#table?.chains ?? []) {
      lines.push(`chain ${name} ${hook}`);
      for (const [at, rule] of rules.entries()) lines.push(`rule ${name} ${at + 1} ${renderRule(rule)}`);
    }
    return [...lines, ...this.#iptables].sort().join("\n");
  }

  #setLink(link: Link & { peer: string }): void {
    this.#links.set(link.name, link);
    const { peer: _, ...seen } = link;
    this.#changes.push({ kind: "link", link: seen });
  }

  #dropRoutesOver(index: number): void {
    for (const [key, { target }] of this.#routes)
      if (target.kind === "link" && target.interfaceIndex === index) this.#routes.delete(key);
    for (const route of this.#foreign.filter(({ interfaceIndex }) => interfaceIndex === index))
      this.#foreign.splice(this.#foreign.indexOf(route), 1);
  }

  #linkOfSettingExists(setting: Setting): boolean {
    const name = setting[2];
    return name === undefined || name === "all" || name === "default" || this.#links.has(name);
  }

  #attempt<T>(call: FaultyCall, work: () => T): T {
    const fault = this.#faults.get(call);
    this.#faults.delete(call);
    if (fault === "interrupted") throw kernelError(`${call} (interrupted)`, "EINTR");
    if (fault === "before") throw kernelError(`${call} (made to fail)`, "ENOMEM");
    const result = work();
    if (fault === "after") throw kernelError(`${call} (made to fail afterwards)`, "ETIMEDOUT");
    return result;
  }
}

function foreignText({ destination, interfaceIndex, metric, protocol }: ForeignRoute): string {
  return `${destination} over ${interfaceIndex} metric ${metric} proto ${protocol}`;
}

function bareLink(name: string, index: number): Link {
  return { index, name, up: false, running: false, mtu: 1500, mac: "", kind: "", alias: "" };
}

function printed(rule: IptablesRule): string {
  const words = rule.arguments.map((word) => (word.includes(" ") ? `"${word}"` : word));
  return `-A ${rule.chain} ${words.join(" ")}`;
}
