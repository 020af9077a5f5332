/**
 * Where the metadata service of an OpenStack is, when MetadataAddr is a name: looked up at once and every minute. Until it is
 * known there is no metadata for endpoints; what is known stays while the name cannot be looked up, and while it is still one
 * of several answers.
 */
import { type IpAddress, tryParseIpAddress } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { HostSettings } from "../../policy/enforcement.ts";

const lookUpEveryMs = 60_000;

export type Resolve = (name: string, family: 4 | 6) => Promise<readonly IpAddress[]>;

export interface MetadataNameOptions {
  readonly clock: Clock;
  readonly resolve: Resolve;
  /** The name leads elsewhere now. */
  readonly onChange: () => void;
}

export class MetadataName implements Disposable {
  readonly #options: MetadataNameOptions;
  #name: string | undefined;
  #address: IpAddress | undefined;
  #problem: string | undefined;
  #timer: Disposable | undefined;

  constructor(options: MetadataNameOptions) {
    this.#options = options;
  }

  /** Why endpoints get no metadata, or perhaps those of another service than meant; undefined: there is no such reason. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** With the address in place of the name. */
  resolved(settings: HostSettings): HostSettings {
    const { metadata } = settings.openStack ?? {};
    const isName = metadata !== undefined && tryParseIpAddress(metadata.host) === undefined;
    this.#follow(isName ? metadata.host : undefined);
    if (!isName) return settings;
    const host = this.#address;
    return { ...settings, openStack: { metadata: host === undefined ? undefined : { ...metadata, host } } };
  }

  [Symbol.dispose](): void {
    this.#follow(undefined);
  }

  #follow(name: string | undefined): void {
    if (name === this.#name) return;
    this.#timer?.[Symbol.dispose]();
    this.#name = name;
    this.#address = undefined;
    this.#problem = name === undefined ? undefined : `MetadataAddr: "${name}" is being looked up`;
    if (name !== undefined) void this.#lookUp(name); // never rejects
  }

  async #lookUp(name: string): Promise<void> {
    const found = await this.#ask(name);
    if (name !== this.#name) return;
    this.#timer = this.#options.clock.timer(lookUpEveryMs, () => void this.#lookUp(name));
    this.#problem = typeof found === "string" ? found : undefined;
    if (typeof found === "string" || (this.#address !== undefined && found.includes(this.#address))) return;
    this.#address = found[0];
    this.#options.onChange();
  }

  /** @returns the reason when there is no address. */
  async #ask(name: string): Promise<readonly IpAddress[] | string> {
    try {
      const found = await this.#options.resolve(name, 4);
      return found.length > 0 ? found : `MetadataAddr: "${name}" has no IPv4 address`;
    } catch (error) {
      return `MetadataAddr: "${name}" cannot be looked up: ${describeError(error)}`;
    }
  }
}
