/**
 * policy/ turns endpoints, profiles, policies, tiers, network sets, pools, blocks and nodes into what ONE host must
 * enforce.
 * - The result is a function of the resources now, whatever the order, number or repetition of updates.
 * - A reference to something unknown, and rules that cannot be enforced exactly, close the endpoint and say why:
 *   never "allow", never "wait for it".
 * - Nothing is told before the first in-sync: half a picture would close what is open and open what is closed.
 * - Cost follows the change, not the cluster: endpoints with the same labels are one evaluation.
 * Absent on purpose: clocks, promises, I/O, locks, retries, nftables syntax, anything named after Mesos or Docker.
 */

import type { Cidr } from "../base/addresses.ts";
import { BadInput, describeError, invariant } from "../base/errors.ts";
import { decodeIpPool, type Pool } from "../model/ip-pool.ts";
import { decodeBlock } from "../model/ipam-documents.ts";
import { parseBlockKey, parseResourceKey, type ResourceKey } from "../model/keys.ts";
import { decodeNode } from "../model/node.ts";
import { decodeProfile, defaultAllowProfile, defaultAllowProfileName, type Profile } from "../model/profile.ts";
import { decodeTier } from "../model/tier.ts";
import { ActiveRules } from "./active-rules.ts";
import type { EndpointEnforcement, EnforcementSink, RuleListId, TierRef } from "./enforcement.ts";
import { LabelIndex } from "./label-index.ts";
import { comparePolicies, compareTiers } from "./policy-order.ts";
import {
  type Endpoint,
  type Labelled,
  type Policy,
  readEndpoint,
  readGlobalNetworkSet,
  readHostEndpoint,
  readNetworkSet,
  readPolicy,
} from "./resource-readers.ts";
import { Routes } from "./routes.ts";
import { type ConvertedRules, convertRules } from "./rule-conversion.ts";
import { RuleSource } from "./rule-source.ts";

interface LocalEndpoint {
  readonly endpoint: Endpoint;
  /** Keys of the policies that select it. */
  readonly policies: Set<string>;
}

interface Told {
  readonly enforcement: EndpointEnforcement;
  readonly text: string;
  readonly lists: ReadonlySet<RuleListId>;
}

interface TierInfo {
  readonly order: number | undefined;
  readonly defaultAction: "deny" | "pass";
}

export class PolicyCalculator {
  readonly #host: string;
  readonly #sink: EnforcementSink;
  #inSync = false;

  /** Everything that has addresses, of all hosts, against the selectors of rules. */
  readonly #addresses: LabelIndex<readonly Cidr[]>;
  readonly #rules: ActiveRules;
  /** Local endpoints against the selectors of policies. */
  readonly #subjects: LabelIndex<string>;

  readonly #local = new Map<string, LocalEndpoint>();
  readonly #localOfProfile = new Map<string, Set<string>>();
  readonly #policies = new Map<string, Policy>();
  readonly #ruleSources = new Map<RuleListId, RuleSource>();
  readonly #tiers = new Map<string, TierInfo>();
  readonly #pools = new Map<string, { cidr: Cidr; natOutgoing: boolean }>();
  readonly #routes: Routes;
  readonly #invalid = new Map<string, string>();

  readonly #dirty = new Set<string>();
  readonly #told = new Map<string, Told>();
  #poolsTold: string | undefined;

  constructor({ host, sink }: { readonly host: string; readonly sink: EnforcementSink }) {
    this.#host = host;
    this.#sink = sink;
    this.#routes = new Routes(host);
    let addresses: LabelIndex<readonly Cidr[]> | undefined;
    this.#rules = new ActiveRules((sets) => {
      addresses = new LabelIndex((set, members, matched) => sets.change(set, members, matched ? 1 : -1));
      return addresses;
    });
    invariant(addresses !== undefined, "the address index exists");
    this.#addresses = addresses;
    this.#subjects = new LabelIndex((policy, endpoint, matched) => this.#onSelected(policy, endpoint, matched));
    this.#setProfile(defaultAllowProfileName, defaultAllowProfile);
  }

  /** The value of a key of the store now (undefined: absent). Keys of no interest are ignored. */
  update(key: string, value: string | undefined): void {
    const block = parseBlockKey(key);
    if (block !== undefined) {
      this.#routes.setBlock(
        block,
        this.#read(key, value, (text) => decodeBlock(text, key)),
      );
      return;
    }
    const resource = parseResourceKey(key);
    if (resource !== undefined) this.#updateResource(key, resource, value);
  }

  /** From here on flush() tells. */
  inSync(): void {
    this.#inSync = true;
  }

  /** Documents that cannot be read and therefore count as absent, by key, with the reason. */
  get invalid(): ReadonlyMap<string, string> {
    return this.#invalid;
  }

  /** Tells the sink what has changed since the last flush: dependencies first, removals in reverse. */
  flush(): void {
    if (!this.#inSync) return;
    const changed = this.#recompute();
    this.#rules.flushAdditions(this.#sink, (id) => this.#rulesOf(id));
    for (const [key, enforcement] of changed) if (enforcement !== undefined) this.#sink.endpoint(key, enforcement);
    for (const [key, enforcement] of changed) if (enforcement === undefined) this.#sink.endpoint(key, undefined);
    this.#rules.flushRemovals(this.#sink);
    this.#flushPools();
    const routes = this.#routes.take();
    if (routes === undefined) return;
    this.#sink.localBlocks(routes.own);
    this.#sink.remoteRoutes(routes.remote);
  }

  #updateResource(key: string, { kind, name, namespace }: ResourceKey, value: string | undefined): void {
    const read = <Result>(reader: (text: string) => Result) => this.#read(key, value, reader);
    switch (kind) {
      case "WorkloadEndpoint":
        this.#setEndpoint(
          key,
          read((text) => readEndpoint(key, text)),
        );
        break;
      case "HostEndpoint":
        this.#setLabelled(
          key,
          read((text) => readHostEndpoint(key, text)),
        );
        break;
      case "GlobalNetworkSet":
        this.#setLabelled(
          key,
          read((text) => readGlobalNetworkSet(key, text)),
        );
        break;
      case "NetworkSet":
        this.#setLabelled(
          key,
          read((text) => readNetworkSet(key, text, namespace ?? "")),
        );
        break;
      case "Profile":
        if (name === defaultAllowProfileName) break; // answered by everybody, stored by nobody
        this.#setProfile(
          name,
          read((text) => decodeProfile(text, key)),
        );
        break;
      case "GlobalNetworkPolicy":
      case "NetworkPolicy":
        this.#setPolicy(key, value === undefined ? undefined : readPolicy(key, value, name, namespace));
        break;
      case "Tier":
        this.#setTier(
          name,
          read((text) => tierInfo(text, key)),
        );
        break;
      case "IPPool":
        this.#setPool(
          key,
          read((text) => decodeIpPool(text, key)),
        );
        break;
      case "Node":
        this.#routes.setNode(
          name,
          read((text) => decodeNode(text, key)),
        );
        break;
      default:
        break; // kinds that say nothing about enforcement on this host
    }
  }

  #read<Result>(key: string, value: string | undefined, read: (text: string) => Result): Result | undefined {
    this.#invalid.delete(key);
    if (value === undefined) return undefined;
    try {
      return read(value);
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      this.#invalid.set(key, describeError(error));
      return undefined;
    }
  }

  #setLabelled(key: string, labelled: Labelled | undefined): void {
    if (labelled === undefined) this.#addresses.removeItem(key);
    else this.#addresses.setItem(key, labelled.source, labelled.addresses);
  }

  #setPool(key: string, pool: Pool | undefined): void {
    if (pool === undefined) this.#pools.delete(key);
    else this.#pools.set(key, { cidr: pool.cidr, natOutgoing: pool.natOutgoing });
  }

  #setEndpoint(key: string, endpoint: Endpoint | undefined): void {
    this.#setLabelled(key, endpoint);
    const before = this.#local.get(key);
    const local = endpoint?.host === this.#host ? endpoint : undefined;
    if (before === undefined && local === undefined) return;
    this.#dirty.add(key);
    for (const profile of before?.endpoint.source.profiles ?? []) {
      const keys = this.#localOfProfile.get(profile);
      keys?.delete(key);
      if (keys?.size === 0) this.#localOfProfile.delete(profile);
    }
    if (local === undefined) {
      this.#subjects.removeItem(key);
      this.#local.delete(key);
      return;
    }
    for (const profile of local.source.profiles) {
      this.#localOfProfile.set(profile, (this.#localOfProfile.get(profile) ?? new Set()).add(key));
    }
    this.#local.set(key, { endpoint: local, policies: before?.policies ?? new Set() });
    this.#subjects.setItem(key, local.source, key);
  }

  #onSelected(policy: string, endpoint: string, selected: boolean): void {
    const local = this.#local.get(endpoint);
    if (local === undefined) return;
    if (selected) local.policies.add(policy);
    else local.policies.delete(policy);
    this.#dirty.add(endpoint);
  }

  #setProfile(name: string, profile: Profile | undefined): void {
    const id = profileId(name);
    if (profile === undefined) this.#ruleSources.delete(id);
    else this.#ruleSources.set(id, new RuleSource(`profile ${name}`, () => convertRules(profile.spec, undefined)));
    this.#rules.touch(id);
    for (const key of this.#localOfProfile.get(name) ?? []) this.#dirty.add(key);
    this.#addresses.setProfileLabels(name, profile?.spec.labelsToApply);
    this.#subjects.setProfileLabels(name, profile?.spec.labelsToApply);
  }

  #setPolicy(key: string, policy: Policy | undefined): void {
    const before = this.#policies.get(key);
    if (before !== undefined) {
      this.#subjects.removeSelector(key);
      this.#ruleSources.delete(before.id);
      for (const endpoint of this.#local.values()) {
        if (endpoint.policies.delete(key)) this.#dirty.add(endpoint.endpoint.key);
      }
      this.#policies.delete(key);
    }
    if (policy === undefined) return;
    this.#policies.set(key, policy);
    this.#ruleSources.set(policy.id, policy.rules);
    this.#rules.touch(policy.id);
    if (policy.forWorkloads) this.#subjects.addSelector(key, policy.selector);
  }

  #setTier(name: string, tier: TierInfo | undefined): void {
    if (tier === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, tier);
    for (const [key, { policies }] of this.#local) if (policies.size > 0) this.#dirty.add(key);
  }

  /** What has really changed, with the references to rule lists counted. */
  #recompute(): ReadonlyMap<string, EndpointEnforcement | undefined> {
    const changed = new Map<string, EndpointEnforcement | undefined>();
    for (const key of this.#dirty) {
      const local = this.#local.get(key);
      const enforcement = local && this.#enforcementOf(local);
      const text = enforcement && JSON.stringify(enforcement);
      const before = this.#told.get(key);
      if (text === before?.text) continue;
      const lists = new Set(enforcement === undefined ? [] : listsOf(enforcement));
      for (const id of lists) if (!before?.lists.has(id)) this.#rules.refer(id, 1);
      for (const id of before?.lists ?? []) if (!lists.has(id)) this.#rules.refer(id, -1);
      if (enforcement === undefined || text === undefined) this.#told.delete(key);
      else this.#told.set(key, { enforcement, text, lists });
      changed.set(key, enforcement);
    }
    this.#dirty.clear();
    return changed;
  }

  #enforcementOf({ endpoint, policies }: LocalEndpoint): EndpointEnforcement {
    const selecting = [...policies].flatMap((key) => this.#policies.get(key) ?? []);
    const problems = [
      ...endpoint.problems,
      ...endpoint.source.profiles.flatMap((name) =>
        this.#problemsOf(profileId(name), `profile ${name} does not exist`),
      ),
      ...selecting.toSorted(comparePolicies).flatMap(({ id }) => this.#problemsOf(id, `policy ${id} is missing`)),
    ];
    const open = problems.length === 0;
    return {
      key: endpoint.key,
      interfaceName: endpoint.interfaceName,
      mac: endpoint.mac,
      addresses: endpoint.ips,
      tiers: open ? this.#tiersOf(selecting) : [],
      profiles: open ? [...new Set(endpoint.source.profiles)].map(profileId) : [],
      problems,
    };
  }

  #problemsOf(id: RuleListId, missing: string): readonly string[] {
    const source = this.#ruleSources.get(id);
    if (source === undefined) return [missing];
    return source.result.ok ? [] : [source.result.problem];
  }

  #tiersOf(selecting: readonly Policy[]): readonly TierRef[] {
    const names = [...new Set(selecting.map(({ tier }) => tier))];
    const tiers = names.map((name) => ({ name, exists: this.#tiers.has(name), order: this.#tiers.get(name)?.order }));
    return tiers.sort(compareTiers).map(({ name }) => {
      const policies = selecting.filter(({ tier }) => tier === name).toSorted(comparePolicies);
      return {
        name,
        defaultAction: this.#tiers.get(name)?.defaultAction ?? "deny",
        inbound: policies.filter(({ inbound }) => inbound).map(({ id }) => id),
        outbound: policies.filter(({ outbound }) => outbound).map(({ id }) => id),
      };
    });
  }

  #rulesOf(id: RuleListId): ConvertedRules {
    const result = this.#ruleSources.get(id)?.result;
    invariant(result?.ok === true, `rule list ${id} is referred to but has no rules`);
    return result.rules;
  }

  #flushPools(): void {
    const pools = [...this.#pools.values()].sort((a, b) => (a.cidr < b.cidr ? -1 : 1));
    const text = JSON.stringify(pools);
    if (text === this.#poolsTold) return;
    this.#poolsTold = text;
    this.#sink.natPools(pools);
  }
}

function profileId(name: string): RuleListId {
  return `profile/${name}`;
}

function listsOf({ tiers, profiles }: EndpointEnforcement): readonly RuleListId[] {
  return [...profiles, ...tiers.flatMap(({ inbound, outbound }) => [...inbound, ...outbound])];
}

function tierInfo(text: string, key: string): TierInfo {
  const { order, defaultAction } = decodeTier(text, key).spec;
  return { order, defaultAction: defaultAction === "Pass" ? "pass" : "deny" };
}
