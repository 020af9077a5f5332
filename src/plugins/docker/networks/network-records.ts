/**
 * The networks all hosts share, in the store: `/margay/docker/networks/<name>`. A record and the network's default profile are
 * written in one transaction, so that `calicoctl profile NAME rule show` works before there is any container; they go together
 * too, unless the profile was edited.
 */
import { z } from "zod";
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { kindPrefix, profileKey } from "../../../model/keys.ts";
import { decodeProfile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import { decodeWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Operation, Store } from "../../../store/store.ts";
import { NETWORK_ANNOTATION } from "../endpoints/endpoint-names.ts";
import { isUntouched, newNetworkProfile, profileNameOf } from "./network-profile.ts";
import type { NetworkShape, RecordedNetwork } from "./replication-plan.ts";

export const NETWORK_RECORDS_PREFIX = "/margay/docker/networks/";

const strings = z.record(z.string(), z.string());
const networkRecord = z.looseObject({
  name: z.string(),
  uid: z.string(),
  driver: z.string(),
  ipamDriver: z.string(),
  ipamOptions: strings.default({}),
  subnets: z.array(z.string()).default([]),
  options: strings.default({}),
  labels: strings.default({}),
  enableIpv6: z.boolean().default(false),
  internal: z.boolean().default(false),
  attachable: z.boolean().default(false),
  createdOn: z.string().optional(),
  createdAt: z.string().optional(),
});

export class NetworkRecords {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #host: string;
  readonly #createProfiles: boolean;

  constructor(options: { store: Store; clock: Clock; log: Log; host: string; createProfiles: boolean }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#host = options.host;
    this.#createProfiles = options.createProfiles;
  }

  async list(signal: AbortSignal): Promise<ReadonlyMap<string, RecordedNetwork>> {
    const { kvs } = await this.#store.list(NETWORK_RECORDS_PREFIX, { signal });
    const records = new Map<string, RecordedNetwork>();
    for (const { key, value } of kvs) {
      try {
        const record = networkRecord.parse(JSON.parse(value));
        if (recordKey(record.name) === key) records.set(record.name, record);
      } catch (error) {
        this.#log.warn({ event: "docker_network_record_unreadable", key, error: describeError(error) });
      }
    }
    return records;
  }

  /** The new record's uid; undefined when another host was faster with the name. */
  async create(
    network: NetworkShape & { readonly name: string; readonly labels: Readonly<Record<string, string>> },
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const uid = this.#clock.uuid();
    const key = recordKey(network.name);
    const { driver, ipamDriver, ipamOptions, subnets, options, labels, enableIpv6, internal, attachable } = network;
    const shape = { driver, ipamDriver, ipamOptions, subnets, options, labels, enableIpv6, internal, attachable };
    const createdAt = new Date(this.#clock.nowMs()).toISOString();
    const value = JSON.stringify({ name: network.name, uid, ...shape, createdOn: this.#host, createdAt });
    const record = { compare: [{ key, modRevision: 0 }], success: [{ put: key, value }] };
    const profile = this.#newProfile(network.name);
    const both = {
      compare: [...record.compare, ...profile.compare],
      success: [...record.success, ...profile.success],
    };
    if ((await this.#store.transact(both, { signal })).succeeded) return uid;
    // One of them is there already: a profile that a user made beforehand stays as it is.
    return (await this.#store.transact(record, { signal })).succeeded ? uid : undefined;
  }

  /** A profile that exists, edited or not, is left as it is. */
  async ensureProfile(network: string, signal: AbortSignal): Promise<void> {
    if (this.#createProfiles) await this.#store.transact(this.#newProfile(network), { signal });
  }

  /** "in-use": some host still has an endpoint on it, nothing was removed. "changed": look again. */
  async remove(network: RecordedNetwork, signal: AbortSignal): Promise<"removed" | "in-use" | "changed"> {
    if (await this.isInUse(network.name, signal)) return "in-use";
    const key = recordKey(network.name);
    const stored = await this.#store.get(key, { signal });
    if (stored === undefined || networkRecord.parse(JSON.parse(stored.value)).uid !== network.uid) return "changed";
    const name = profileKey(profileNameOf(network.name));
    const profile = await this.#store.get(name, { signal });
    const profileGoes = profile !== undefined && this.#isDefault(network.name, profile.value);
    const success: Operation[] = [{ delete: key }, ...(profileGoes ? [{ delete: name }] : [])];
    const { succeeded } = await this.#store.transact(
      {
        compare: [
          { key, modRevision: stored.modRevision },
          ...(profileGoes ? [{ key: name, modRevision: profile.modRevision }] : []),
        ],
        success,
      },
      { signal },
    );
    return succeeded ? "removed" : "changed";
  }

  /** Whether any host has an endpoint on the network, or an endpoint names its profile. */
  async isInUse(network: string, signal: AbortSignal): Promise<boolean> {
    const profile = profileNameOf(network);
    const { kvs } = await this.#store.list(kindPrefix("WorkloadEndpoint"), { signal });
    return kvs.some(({ key, value }) => {
      try {
        const { metadata, spec } = decodeWorkloadEndpoint(value, key);
        return metadata.annotations?.[NETWORK_ANNOTATION] === network || spec.profiles?.includes(profile) === true;
      } catch {
        return false; // an unreadable endpoint is enforced as closed; it keeps no network
      }
    });
  }

  #newProfile(network: string): {
    compare: { key: string; modRevision: number }[];
    success: { put: string; value: string }[];
  } {
    if (!this.#createProfiles) return { compare: [], success: [] };
    const key = profileKey(profileNameOf(network));
    const profile = newNetworkProfile(network, { uid: this.#clock.uuid(), nowMs: this.#clock.nowMs() });
    return { compare: [{ key, modRevision: 0 }], success: [{ put: key, value: encode(profile) }] };
  }

  #isDefault(network: string, value: string): boolean {
    try {
      return isUntouched(decodeProfile(value), network);
    } catch {
      return false; // what cannot be read was not written here
    }
  }
}

function recordKey(name: string): string {
  return NETWORK_RECORDS_PREFIX + encodeURIComponent(name);
}
