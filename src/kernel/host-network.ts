/**
 * Everything a dataplane needs of one network namespace, behind one interface, so that the same code runs on the real
 * kernel and on testing/fake-network.ts (one contract test for both).
 */
import type { IpAddress } from "../base/addresses.ts";
import { type Change, ChangeFeed } from "./changes.ts";
import { forgetFlows } from "./conntrack.ts";
import { type ForeignRoute, listForeignRoutes, removeForeignRoute } from "./foreign-routes.ts";
import { interfaceWithAddress } from "./interface-addresses.ts";
import {
  appendRule,
  deleteRule,
  type IptablesChain,
  type IptablesProgram,
  type IptablesRule,
  type IptablesTable,
  iptablesChains,
  legacyTablesInUse,
  listMarked,
} from "./iptables.ts";
import { isKernelError } from "./libc.ts";
import {
  createVeth,
  deleteLink,
  deleteLinkInBackground,
  type Link,
  type LinkChange,
  linkOfIndex,
  listLinks,
  setLink,
  type VethSpec,
} from "./links.ts";
import { attributesIn, textOf } from "./netlink/message.ts";
import { NetlinkSocket, netlinkNetfilter, netlinkRoute } from "./netlink/socket.ts";
import { Libnftables } from "./nftables/libnftables.ts";
import type { ChainSpec, Operation, RuleSpec } from "./nftables/ruleset.ts";
import { NftTable, type TableReadBack } from "./nftables/tables.ts";
import { attribute, nfgenmsg, nfgenmsgBytes, nft } from "./nftables/wire.ts";
import { listRoutes, putRoute, type Route, removeRoute } from "./routes.ts";
import { readSetting, type Setting, writeSetting } from "./sysctl.ts";
import { type TrafficShaping, trafficShaping } from "./traffic-control.ts";

export interface HostNetwork extends Disposable {
  readonly shaping: TrafficShaping;
  links(): readonly Link[];
  /** The interface that has this address; undefined when none has. */
  linkWithAddress(address: IpAddress): Link | undefined;
  createVeth(spec: VethSpec): void;
  setLink(name: string, change: LinkChange): void;
  /** False when there was none. */
  deleteLink(name: string): boolean;
  /** The same without keeping the process waiting, which takes a while. */
  deleteLinkInBackground(name: string): Promise<boolean>;
  /** The routes of this owner. */
  routes(): readonly Route[];
  putRoute(route: Route): void;
  removeRoute(route: Pick<Route, "destination" | "metric">): boolean;
  /** Routes of others over single interfaces. */
  foreignRoutes(): readonly ForeignRoute[];
  removeForeignRoute(route: ForeignRoute): boolean;
  readSetting(setting: Setting): string | undefined;
  writeSetting(setting: Setting, value: string): void;
  forgetFlows(addresses: readonly IpAddress[]): number;
  commit(operations: readonly Operation[]): void;
  /** Whether the kernel can do what such a chain says; changes nothing. */
  acceptsChain(chain: ChainSpec, rules: readonly RuleSpec[]): boolean;
  readTable(): TableReadBack | undefined;
  /** False: the table is what the last readTable() and the commits since have left. */
  tableMayHaveChanged(): boolean;
  /** What others changed since the last call. */
  changes(): readonly Change[];
  iptablesTables(): readonly IptablesTable[];
  markedIptablesRules(program: IptablesProgram, chain: IptablesChain, comment: string): Promise<readonly string[]>;
  appendIptablesRule(program: IptablesProgram, rule: IptablesRule): Promise<void>;
  deleteIptablesRule(program: IptablesProgram, rule: IptablesRule): Promise<boolean>;
}

export interface HostNetworkOptions {
  /** Marks routes as this owner's. */
  readonly routeProtocol: number;
  /** The owner's nftables table, inet family. */
  readonly table: string;
  /** Room for what others change between two looks. */
  readonly eventBufferBytes?: number;
}

const familyNumber = { 4: 2, 6: 10 } as const;

/** The namespace the calling thread is in. */
export class LinuxHostNetwork implements HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #resources = new DisposableStack();
  readonly #route: NetlinkSocket;
  readonly #slowRoute: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  readonly #table: NftTable;
  readonly #feed: ChangeFeed;
  readonly shaping: TrafficShaping;
  #missed: Change[] = [];
  #ownPortKnown = false;
  #legacyLoaded = 0;

  private constructor(options: HostNetworkOptions) {
    this.#options = options;
    try {
      this.#route = this.#resources.use(NetlinkSocket.open(netlinkRoute));
      this.#slowRoute = this.#resources.use(NetlinkSocket.open(netlinkRoute));
      this.shaping = trafficShaping(this.#route);
      this.#netfilter = this.#resources.use(NetlinkSocket.open(netlinkNetfilter));
      const library = this.#resources.use(new Libnftables());
      this.#table = new NftTable(options.table, this.#netfilter, library);
      this.#feed = this.#resources.use(new ChangeFeed(options));
      this.#feed.ignorePort(this.#netfilter.port);
    } catch (error) {
      this.#resources.dispose();
      throw error;
    }
  }

  static open(options: HostNetworkOptions): LinuxHostNetwork {
    return new LinuxHostNetwork(options);
  }

  links(): readonly Link[] {
    return listLinks(this.#route);
  }

  linkWithAddress(address: IpAddress): Link | undefined {
    const index = interfaceWithAddress(this.#route, address);
    return index === undefined ? undefined : linkOfIndex(this.#route, index);
  }

  createVeth(spec: VethSpec): void {
    createVeth(this.#route, spec);
  }

  setLink(name: string, change: LinkChange): void {
    setLink(this.#route, name, change);
  }

  deleteLink(name: string): boolean {
    return deleteLink(this.#route, name);
  }

  deleteLinkInBackground(name: string): Promise<boolean> {
    return deleteLinkInBackground(this.#slowRoute, name);
  }

  routes(): readonly Route[] {
    return listRoutes(this.#route, this.#options.routeProtocol);
  }

  putRoute(route: Route): void {
    putRoute(this.#route, route, this.#options.routeProtocol);
  }

  removeRoute(route: Pick<Route, "destination" | "metric">): boolean {
    return removeRoute(this.#route, route, this.#options.routeProtocol);
  }

  foreignRoutes(): readonly ForeignRoute[] {
    return listForeignRoutes(this.#route, this.#options.routeProtocol);
  }

  removeForeignRoute(route: ForeignRoute): boolean {
    return removeForeignRoute(this.#route, route);
  }

  readSetting(setting: Setting): string | undefined {
    return readSetting(setting);
  }

  writeSetting(setting: Setting, value: string): void {
    writeSetting(setting, value);
  }

  forgetFlows(addresses: readonly IpAddress[]): number {
    return forgetFlows(this.#netfilter, addresses);
  }

  commit(operations: readonly Operation[]): void {
    // libnftables does not tell its socket's port; the first change of our own table after it shows it.
    if (!this.#ownPortKnown) this.#missed.push(...this.#feed.read());
    if (operations.length === 0) return;
    const writer = this.#table.commit(operations);
    if (this.#ownPortKnown || writer !== "libnftables") return;
    const { learned, changes } = this.#feed.learnOwnPort(this.#options.table);
    this.#missed.push(...changes);
    this.#ownPortKnown = learned;
  }

  acceptsChain(chain: ChainSpec, rules: readonly RuleSpec[]): boolean {
    return this.#table.acceptsChain(chain, rules);
  }

  readTable(): TableReadBack | undefined {
    return this.#table.readBack();
  }

  tableMayHaveChanged(): boolean {
    return this.#table.mayHaveChanged();
  }

  changes(): readonly Change[] {
    const missed = this.#missed;
    this.#missed = [];
    return [...missed, ...this.#feed.read(), ...this.#legacyChanges()];
  }

  iptablesTables(): readonly IptablesTable[] {
    return [...this.#nftFilterTables(), ...legacyTablesInUse()];
  }

  markedIptablesRules(program: IptablesProgram, chain: IptablesChain, comment: string): Promise<readonly string[]> {
    return listMarked(program, chain, comment);
  }

  appendIptablesRule(program: IptablesProgram, rule: IptablesRule): Promise<void> {
    return appendRule(program, rule);
  }

  deleteIptablesRule(program: IptablesProgram, rule: IptablesRule): Promise<boolean> {
    return deleteRule(program, rule);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** The legacy iptables sends no events; that its table appears can be seen all the same. */
  #legacyChanges(): Change[] {
    const loaded = legacyTablesInUse().length;
    if (loaded === this.#legacyLoaded) return [];
    this.#legacyLoaded = loaded;
    return [{ kind: "table", family: familyNumber[4], table: "filter" }];
  }

  /** Tables "ip filter" and "ip6 filter", which are iptables-nft's, with those of the chains that exist. */
  #nftFilterTables(): IptablesTable[] {
    return ([4, 6] as const).flatMap((family): IptablesTable[] => {
      const present = this.#chainsOfFilter(familyNumber[family]);
      const chains = iptablesChains.filter((chain) => present.has(chain));
      return chains.length === 0 ? [] : [{ program: family === 4 ? "iptables-nft" : "ip6tables-nft", chains }];
    });
  }

  #chainsOfFilter(family: number): Set<string> {
    try {
      const chains = this.#netfilter
        .dump("list chains", nft.getChain, (writer) => nfgenmsg(writer, family))
        .map(({ body }) => attributesIn(body, nfgenmsgBytes))
        .filter((attributes) => textOf(attributes.get(attribute.table)) === "filter");
      return new Set(chains.map((attributes) => textOf(attributes.get(attribute.chainName))));
    } catch (error) {
      if (isKernelError(error, "ENOENT")) return new Set();
      throw error;
    }
  }
}
