/**
 * Bandwidth of endpoints (qosControls): what an endpoint receives passes a token bucket on its interface, what it sends one
 * on an IFB device of its own. Limits are no protection: what the kernel cannot do is told, and holds up nothing else.
 * - Ours in the kernel: IFB devices by their alias, buckets by the range of their handles; the rest of a handle says which
 *   parameters it has, so a restarted process leaves what is right as it is.
 * - One look at all queueing disciplines whenever something may have changed; none while no endpoint has a bandwidth, but
 *   for each resync.
 */
import { createHash } from "node:crypto";
import { describeError } from "../../base/errors.ts";
import { type InterfaceName, parseInterfaceName } from "../../base/names.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import { isKernelError } from "../../kernel/libc.ts";
import type { Link } from "../../kernel/links.ts";
import type { QueueingDiscipline, TokenBucket } from "../../kernel/traffic-control.ts";
import type { Bandwidth, EndpointLimits } from "../../policy/enforcement.ts";
import { bandwidthAlias } from "./chain-names.ts";

/** Four of a handle's sixteen bits say that it is ours; the kernel's own choices have the highest bit set. */
const handleRange = 0x6000;
const handleRangeMask = 0xf000;
/** What the kernel says a redirection leads to whose device was removed: what comes in is lost. */
const goneDevice = 0;
/** How long a packet waits at most for its turn. */
const queueSeconds = 0.05;
const queuePacketsMin = 32;
const ethernetHeaderBytes = 14;
/** The kernel lacks a part, or cannot do what is asked: asking again without a change is no use. */
const lasting = ["ENOENT", "EOPNOTSUPP", "EINVAL", "ERANGE"];

export class BandwidthSync {
  readonly #network: HostNetwork;
  readonly #isEndpointName: (name: string) => boolean;
  readonly #wanted = new Map<string, EndpointLimits>();
  readonly #problems = new Map<string, string>();
  /** At first: what a process before has left. */
  #stale = true;

  constructor(network: HostNetwork, isEndpointName: (name: string) => boolean) {
    this.#network = network;
    this.#isEndpointName = isEndpointName;
  }

  get needsApply(): boolean {
    return this.#stale;
  }

  /** Interfaces whose bandwidth is not limited, with the reason. */
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  want(name: InterfaceName, limits: EndpointLimits | undefined): void {
    const wanted = hasBandwidth(limits) ? limits : undefined;
    if (JSON.stringify(wanted) === JSON.stringify(this.#wanted.get(name))) return;
    if (wanted === undefined) this.#wanted.delete(name);
    else this.#wanted.set(name, wanted);
    this.#stale = true;
  }

  wants(name: InterfaceName): boolean {
    return this.#wanted.has(name);
  }

  /** The interface came, went, or is another one now. */
  linkChanged(name: string): void {
    if (this.#wanted.size === 0) return;
    this.#stale ||= this.#wanted.has(name) || name.startsWith(devicePrefix);
  }

  readBack(): void {
    this.#stale = true;
  }

  /** @param inSync what nobody wants is removed. */
  apply(inSync: boolean): readonly unknown[] {
    if (!this.#stale) return [];
    const failures: unknown[] = [];
    const stillLed = new Set<string>();
    this.#problems.clear();
    const links = this.#linksWithDevices(failures);
    const found = shapersByInterface(this.#network.shaping.qdiscs());
    this.#stale = false;
    for (const link of links.values()) {
      const { name } = link;
      const limits = this.#wanted.get(name);
      const isLeftOver = inSync && found.has(link.index) && this.#isEndpointName(name);
      if (limits === undefined && !isLeftOver) continue;
      const device = links.get(deviceName(name));
      this.#attempt(name, () => this.#shape(link, found, limits?.inbound?.bandwidth), failures);
      if (!this.#attempt(name, () => this.#lead(link, found, limits?.outbound?.bandwidth, device), failures))
        stillLed.add(deviceName(name));
    }
    if (!inSync) return failures;
    const kept = new Set<string>(
      [...this.#wanted].flatMap(([name, { outbound }]) => (outbound?.bandwidth ? deviceName(name) : [])),
    );
    // Only now: what is led to a device that has gone is lost.
    for (const { name, alias } of links.values())
      if (alias === bandwidthAlias && !kept.has(name) && !stillLed.has(name)) this.#network.deleteLink(name);
    return failures;
  }

  /** All there are; the IFB devices that are needed are made first where missing. */
  #linksWithDevices(failures: unknown[]): ReadonlyMap<string, Link> {
    const present = () => new Map(this.#network.links().map((link) => [link.name, link]));
    const links = present();
    let made = false;
    for (const [name, { outbound }] of this.#wanted) {
      const device = deviceName(name);
      if (outbound?.bandwidth === undefined || !links.has(name) || links.get(device)?.up === true) continue;
      const make = () => {
        if (!links.has(device)) this.#network.shaping.createIfb(device, bandwidthAlias);
        this.#network.setLink(device, { up: true });
      };
      this.#attempt(name, make, failures);
      made = true;
    }
    return made ? present() : links;
  }

  /** What the host sends out of an interface. */
  #shape(link: Link, found: Shapers, bandwidth: Bandwidth | undefined): void {
    const root = found.get(link.index)?.find(({ isRoot }) => isRoot);
    const isOurs = root?.kind === "tbf" && (root.handle & handleRangeMask) === handleRange;
    if (bandwidth === undefined) {
      if (isOurs) this.#network.shaping.removeTokenBucket(link.index);
      return;
    }
    const bucket = bucketOf(bandwidth, link.mtu);
    const handle = handleOf(bucket);
    if (!isOurs || root.handle !== handle) this.#network.shaping.setTokenBucket(link.index, bucket, handle);
  }

  /** What the host receives over an interface. */
  #lead(link: Link, found: Shapers, bandwidth: Bandwidth | undefined, device: Link | undefined): void {
    const { shaping } = this.#network;
    const isTaken = found.get(link.index)?.some(({ kind }) => kind === "ingress") ?? false;
    if (bandwidth === undefined) {
      if (!isTaken) return;
      const target = shaping.redirectionOf(link.index);
      const isOurs = target === goneDevice || (device !== undefined && target === device.index);
      if (isOurs) shaping.stopRedirecting(link.index);
      return;
    }
    if (device === undefined) return; // the reason stands in problems
    this.#shape({ ...device, mtu: link.mtu }, found, bandwidth);
    if (isTaken && shaping.redirectionOf(link.index) === device.index) return;
    shaping.redirectIncoming({ fromIndex: link.index, toIndex: device.index });
  }

  /** @returns whether it did not fail. */
  #attempt(name: string, work: () => void, failures: unknown[]): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (isKernelError(error, "ENODEV")) return true; // gone meanwhile: its event comes
      this.#problems.set(name, describeError(error));
      if (isKernelError(error, ...lasting)) return false;
      failures.push(error);
      this.#stale = true;
      return false;
    }
  }
}

/** Those that can be ours, by index of their interface: every interface has one that is not. */
type Shapers = ReadonlyMap<number, readonly QueueingDiscipline[]>;

function shapersByInterface(all: readonly QueueingDiscipline[]): Shapers {
  return Map.groupBy(
    all.filter(({ kind }) => kind === "tbf" || kind === "ingress"),
    ({ interfaceIndex }) => interfaceIndex,
  );
}

function hasBandwidth(limits: EndpointLimits | undefined): boolean {
  return limits?.inbound?.bandwidth !== undefined || limits?.outbound?.bandwidth !== undefined;
}

const devicePrefix = "mgb";

/** An interface's name has no room for a prefix. */
function deviceName(name: string): InterfaceName {
  return parseInterfaceName(`${devicePrefix}${createHash("sha256").update(name).digest("hex").slice(0, 12)}`);
}

function bucketOf({ bitsPerSecond, burstBits, peakBitsPerSecond, minBurstBytes }: Bandwidth, mtu: number): TokenBucket {
  const bytesPerSecond = bitsPerSecond / 8;
  const packetBytes = mtu + ethernetHeaderBytes;
  return {
    bytesPerSecond,
    // A bucket that holds less than one packet lets nothing pass at all.
    burstBytes: Math.max(burstBits / 8, packetBytes),
    ...(peakBitsPerSecond === undefined
      ? {}
      : { peak: { bytesPerSecond: peakBitsPerSecond / 8, burstBytes: Math.max(minBurstBytes ?? 0, packetBytes) } }),
    queueBytes: Math.max(bytesPerSecond * queueSeconds, queuePacketsMin * packetBytes),
  };
}

function handleOf(bucket: TokenBucket): number {
  const digest = createHash("sha256").update(JSON.stringify(bucket)).digest();
  return handleRange | (digest.readUInt16BE() & ~handleRangeMask & 0xffff);
}
