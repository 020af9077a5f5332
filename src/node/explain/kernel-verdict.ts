/** What this host's kernel does with a packet: the hooks it meets, and the links and routes it needs. Pure. */
import { type Cidr, cidrContains, type IpAddress, parseCidr, prefixLength } from "../../base/addresses.ts";
import { type RouteEntry, routeFor } from "../../kernel/all-routes.ts";
import type { InterfaceAddress } from "../../kernel/interface-addresses.ts";
import type { Link } from "../../kernel/links.ts";
import type { ListedTable } from "../../kernel/nftables/table-listing.ts";
import type { Packet } from "../../policy/explain/packet.ts";
import { acceptedBit, passBit, tableName } from "../dataplane/chain-names.ts";
import { type HookOutcome, type KernelStep, NotUnderstood, type PacketAtHook, Passage } from "./interpreter.ts";
import type { KernelAnswer, KernelQuestion } from "./kernel-answer.ts";

/** Read at one moment. */
export interface KernelPicture {
  /** Undefined: there is no table of ours. */
  readonly table: ListedTable | undefined;
  readonly links: readonly Link[];
  /** The main table. */
  readonly routes: readonly RouteEntry[];
  readonly addresses: readonly InterfaceAddress[];
}

/** Stands for an interface that is no endpoint's and that nothing tells the name of. */
const elsewhere = "(elsewhere)";
const linkLocal6 = parseCidr("fe80::/10");
const loopback4 = parseCidr("127.0.0.0/8");

export function kernelVerdict(
  host: string,
  { packet: asked, from, to }: KernelQuestion,
  picture: KernelPicture,
): KernelAnswer {
  const packet = asked as Packet; // addresses were checked when the question was read
  const answer = (
    verdict: KernelAnswer["verdict"],
    reason: string,
    hooks: readonly HookOutcome[],
    faults: readonly string[],
  ) => ({
    host,
    verdict,
    reason,
    hooks: hooks.map((hook) => ({ ...hook, steps: [...hook.steps] })),
    faults: [...faults],
    interfaces: { in: inInterface, out: outInterface, addresses: addressesOf(picture) },
  });
  const { table } = picture;
  const inInterface = nameOf(from, packet.source, picture);
  let outInterface = nameOf(to, packet.destination, picture);
  if (table === undefined) return answer("allow", `there is no table "${tableName}": nothing is filtered`, [], []);
  const hooks: HookOutcome[] = [];
  const passage = new Passage(table, packet);
  /** Once its destination is translated it goes where that is. */
  const toNow = (): Place => {
    const { destination } = passage.packet;
    if (destination === packet.destination) return to;
    return isOwn(destination, picture) ? "this host" : "elsewhere";
  };
  let faults = faultsOf(packet, from, to, picture);
  try {
    for (let hook = firstHook(from); hook !== undefined; hook = hookAfter(hook, toNow())) {
      const isOut = hook === "forward" || hook === "output";
      const at: PacketAtHook = {
        hook,
        inInterface: hook === "output" ? "" : inInterface,
        outInterface: isOut ? nameOf(toNow(), passage.packet.destination, picture) : "",
      };
      const outcome = passage.hook(at);
      hooks.push({ ...outcome, steps: outcome.steps.map(inWords) });
      if (typeof to === "string" && passage.packet.destination !== packet.destination) {
        outInterface = nameOf(toNow(), passage.packet.destination, picture);
        faults = faultsOf(passage.packet, from, toNow(), picture);
      }
      if (outcome.verdict === "drop") {
        const last = outcome.steps.at(-1);
        const comment = last?.comment ? ` (${last.comment})` : "";
        return answer("deny", `dropped at ${hook}: chain ${last?.chain}, rule ${last?.rule}${comment}`, hooks, faults);
      }
    }
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return answer("unknown", `the table holds what explain does not understand: ${error.message}`, hooks, faults);
  }
  const [fault] = faults;
  if (fault !== undefined) return answer("deny", fault, hooks, faults);
  const accepting = hooks.flatMap(({ steps }) => steps).filter(({ did }) => did === accepts);
  const by = accepting.map(({ chain, rule }) => `${chain} rule ${rule}`).join(", then ");
  return answer("allow", accepting.length === 0 ? "nothing drops it" : `accepted by ${by}`, hooks, faults);
}

/** What the dataplane's rule lists say with their mark bits (chain-content.ts). */
const accepts = "accept (by mark)";
const words: ReadonlyMap<string, string> = new Map([
  [`return with mark 0x${acceptedBit.toString(16)}`, accepts],
  [`return with mark 0x${passBit.toString(16)}`, "pass (by mark)"],
]);

function inWords(step: KernelStep): KernelStep {
  return { ...step, did: words.get(step.did) ?? step.did };
}

type Place = KernelQuestion["from"] | KernelQuestion["to"];

function firstHook(from: Place): PacketAtHook["hook"] | undefined {
  return from === "this host" ? "output" : "prerouting";
}

function hookAfter(hook: PacketAtHook["hook"], to: Place): PacketAtHook["hook"] | undefined {
  if (hook !== "prerouting") return undefined;
  return to === "this host" ? "input" : "forward";
}

function isOwn(destination: IpAddress, { addresses }: KernelPicture): boolean {
  return cidrContains(loopback4, destination) || addresses.some(({ address }) => address === destination);
}

/** Every interface has a link-local address, and none of them tells it from the others. */
function addressesOf({ links, addresses }: KernelPicture) {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  return addresses
    .filter(({ address }) => !cidrContains(linkLocal6, address))
    .map(({ interfaceIndex, address }) => ({ interfaceName: names.get(interfaceIndex) ?? "", address }));
}

/** An endpoint's interface as named; for the rest of the world the one its address is routed by. */
function nameOf(place: Place, address: IpAddress, { links, routes }: KernelPicture): string {
  if (typeof place !== "string") return place.interfaceName;
  if (place === "this host") return "";
  const index = routeFor(routes, address)?.interfaceIndex;
  return links.find((link) => link.index === index)?.name ?? elsewhere;
}

function faultsOf(
  packet: Packet,
  from: KernelQuestion["from"],
  to: KernelQuestion["to"],
  { links, routes }: KernelPicture,
): readonly string[] {
  const faults: string[] = [];
  for (const place of [from, to]) {
    if (typeof place === "string") continue;
    const link = links.find(({ name }) => name === place.interfaceName);
    if (link === undefined) faults.push(`there is no interface ${place.interfaceName}`);
    else if (!link.up) faults.push(`interface ${place.interfaceName} is down`);
  }
  if (to === "this host" || to === "nowhere") return faults;
  const { destination } = packet;
  const route = routeFor(routes, destination);
  if (route === undefined) return [...faults, `there is no route to ${destination}`];
  if (route.kind === "nowhere") return [...faults, `the route to ${destination} leads nowhere (a blackhole)`];
  const name = links.find(({ index }) => index === route.interfaceIndex)?.name ?? "another interface";
  if (typeof to !== "string") {
    if (route.kind !== "link" || name !== to.interfaceName)
      faults.push(`the route to ${destination} leads to ${name}, not to ${to.interfaceName}`);
  } else if (route.kind === "link" && prefixLength(route.destination) === wholeAddress(route.destination)) {
    faults.push(`the route to ${destination} leads to ${name} on this host`);
  }
  return faults;
}

const wholeAddress = (cidr: Cidr) => (cidr.includes(":") ? 128 : 32);
