/** Queueing disciplines in memory, for fake-network.ts: they go with their interface, and can be missing in the kernel. */
import type { InterfaceName } from "../../base/names.ts";
import { kernelError } from "../libc.ts";
import type { QueueingDiscipline, Redirection, TokenBucket, TrafficShaping } from "../traffic-control.ts";

/** What of the network around it is needed. */
export interface ShapedLinks {
  readonly exists: (interfaceIndex: number) => boolean;
  readonly create: (name: InterfaceName, alias: string) => void;
  readonly attempt: <T>(call: ShapingCall, work: () => T) => T;
}

export const shapingCalls = [
  "qdiscs",
  "redirectionOf",
  "createIfb",
  "setTokenBucket",
  "removeTokenBucket",
  "redirectIncoming",
  "stopRedirecting",
] as const;
export type ShapingCall = (typeof shapingCalls)[number];

export class FakeShaping implements TrafficShaping {
  readonly #links: ShapedLinks;
  readonly #buckets = new Map<number, { readonly bucket: TokenBucket; readonly handle: number }>();
  readonly #redirections = new Map<number, number>();
  /** The kernel was built without them. */
  hasTokenBuckets = true;

  constructor(links: ShapedLinks) {
    this.#links = links;
  }

  qdiscs(): readonly QueueingDiscipline[] {
    return this.#links.attempt("qdiscs", () => {
      this.#forgetGone();
      const roots = [...this.#buckets].map(([interfaceIndex, { handle }]) => ({
        interfaceIndex,
        kind: "tbf",
        handle,
        isRoot: true,
      }));
      const taken = [...this.#redirections.keys()].map((interfaceIndex) => ({
        interfaceIndex,
        kind: "ingress",
        handle: 0xffff,
        isRoot: false,
      }));
      return [...roots, ...taken];
    });
  }

  redirectionOf(interfaceIndex: number): number | undefined {
    return this.#links.attempt("redirectionOf", () => this.#redirections.get(interfaceIndex));
  }

  createIfb(name: InterfaceName, alias: string): void {
    this.#links.attempt("createIfb", () => this.#links.create(name, alias));
  }

  setTokenBucket(interfaceIndex: number, bucket: TokenBucket, handle: number): void {
    this.#links.attempt("setTokenBucket", () => {
      const doing = `limit bandwidth of interface ${interfaceIndex}`;
      if (!this.hasTokenBuckets) throw kernelError(doing, "ENOENT", "Specified qdisc kind is unknown");
      if (!this.#links.exists(interfaceIndex)) throw kernelError(doing, "ENODEV");
      if (bucket.peak !== undefined && bucket.peak.bytesPerSecond <= bucket.bytesPerSecond)
        throw kernelError(doing, "EINVAL");
      this.#buckets.set(interfaceIndex, { bucket, handle });
    });
  }

  removeTokenBucket(interfaceIndex: number): boolean {
    return this.#links.attempt("removeTokenBucket", () => this.#buckets.delete(interfaceIndex));
  }

  redirectIncoming({ fromIndex, toIndex }: Redirection): void {
    this.#links.attempt("redirectIncoming", () => {
      for (const index of [fromIndex, toIndex])
        if (!this.#links.exists(index)) throw kernelError(`redirect what interface ${fromIndex} receives`, "ENODEV");
      this.#redirections.set(fromIndex, toIndex);
    });
  }

  stopRedirecting(interfaceIndex: number): boolean {
    return this.#links.attempt("stopRedirecting", () => this.#redirections.delete(interfaceIndex));
  }

  text(nameOf: (interfaceIndex: number) => string): string[] {
    this.#forgetGone();
    const buckets = [...this.#buckets].map(
      ([index, { bucket }]) => `bucket ${nameOf(index)} ${JSON.stringify(bucket)}`,
    );
    const redirections = [...this.#redirections].map(([from, to]) => `redirection ${nameOf(from)} to ${nameOf(to)}`);
    return [...buckets, ...redirections];
  }

  #forgetGone(): void {
    for (const map of [this.#buckets, this.#redirections])
      for (const index of map.keys()) if (!this.#links.exists(index)) map.delete(index);
  }
}
