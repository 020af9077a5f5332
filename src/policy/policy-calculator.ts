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
import { decodeBlockHolders } from "../model/block-holders.ts";
import { decodeClusterInformation } from "../model/cluster-information.ts";
import { defaultAllowProfile, defaultAllowProfileName } from "../model/default-profile.ts";
import { type ReadFelixConfiguration, readFelixConfiguration } from "../model/felix-configuration.ts";
import type { FelixConfigurationSpec } from "../model/felix-fields.ts";
import { decodeIpPool, type Pool } from "../model/ip-pool.ts";
import { parseBlockKey, parseResourceKey, type ResourceKey } from "../model/keys.ts";
import { decodeNode, type Node } from "../model/node.ts";
import { decodeProfile, type Profile } from "../model/profile.ts";
import { decodeTier } from "../model/tier.ts";
import { ActiveRules } from "./active-rules.ts";
import { hostEndpointEnforcement, profileId, type TierInfo, workloadEnforcement } from "./endpoint-enforcement.ts";
import { EndpointsElsewhere } from "./endpoints-elsewhere.ts";
import type { EnforcementSink, RuleListId } from "./enforcement.ts";
import { type EffectiveSettings, effectiveSettings } from "./host-settings.ts";
import { LabelIndex, type LabelIndexCounts } from "./label-index.ts";
import {
  type Endpoint,
  type HostInterface,
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
import { readStagedPolicy, type StagedPolicy, type StagedReport } from "./staged-policy.ts";
import { type Enforcement, Told } from "./told.ts";
import { UnreadableSets } from "./unreadable-sets.ts";

type LocalSubject = Endpoint | HostInterface;

interface LocalEndpoint {
  readonly endpoint: LocalSubject;
  /** Keys of the policies that select it. */
  readonly policies: Set<string>;
}

export class PolicyCalculator {
  readonly #host: string;
  readonly #sink: EnforcementSink;
  #inSync = false;

  readonly #rules = new ActiveRules();
  /** Local endpoints against the selectors of policies. */
  readonly #subjects: LabelIndex<string>;

  readonly #elsewhere: EndpointsElsewhere;
  readonly #local = new Map<string, LocalEndpoint>();
  readonly #localOfProfile = new Map<string, Set<string>>();
  readonly #policies = new Map<string, Policy>();
  readonly #staged = new Map<string, StagedPolicy>();
  readonly #configurations = new Map<string, ReadFelixConfiguration>();
  readonly #localSettings: readonly FelixConfigurationSpec[];
  #hostLabels: Readonly<Record<string, string>> = {};
  #clusterType: string | undefined;
  #settings: EffectiveSettings;
  readonly #ruleSources = new Map<RuleListId, RuleSource>();
  readonly #tiers = new Map<string, TierInfo>();
  readonly #pools = new Map<string, { cidr: Cidr; natOutgoing: boolean }>();
  readonly #routes: Routes;
  readonly #invalid = new Map<string, string>();
  readonly #unreadable = new UnreadableSets();

  readonly #dirty = new Set<string>();
  readonly #told: Told;

  /** `localSettings`: what the host was started with, weakest first; stronger than the store. */
  constructor({
    host,
    sink,
    localSettings = [],
  }: {
    readonly host: string;
    readonly sink: EnforcementSink;
    readonly localSettings?: readonly FelixConfigurationSpec[];
  }) {
    this.#host = host;
    this.#sink = sink;
    this.#told = new Told(sink, this.#rules);
    this.#localSettings = localSettings;
    this.#elsewhere = new EndpointsElsewhere(host);
    this.#routes = new Routes(host);
    this.#settings = effectiveSettings(host, this.#configurations, {}, localSettings);
    this.#subjects = new LabelIndex((policy, endpoint, matched) => this.#onSelected(policy, endpoint, matched));
    this.#setProfile(defaultAllowProfileName, defaultAllowProfile);
  }

  /** The value of a key of the store now (undefined: absent). Keys of no interest are ignored. */
  update(key: string, value: string | undefined): void {
    const block = parseBlockKey(key);
    if (block !== undefined) {
      this.#routes.setBlock(
        block,
        this.#read(key, value, (text) => decodeBlockHolders(text, key)),
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

  /** How much is in force on this host. */
  get counts(): { readonly endpoints: number; readonly lists: number; readonly sets: number } {
    return { endpoints: this.#local.size, ...this.#rules.counts };
  }

  /** Of everything that has addresses, in the whole cluster, against the selectors of rules in force on this host. */
  get memberIndex(): LabelIndexCounts {
    return this.#rules.index.counts;
  }

  /** What of FelixConfiguration counts for this host; the same object until it changes. */
  get configuration(): FelixConfigurationSpec {
    return this.#settings.spec;
  }

  /** Staged policies with whom of this host they would apply to; they change nothing that is enforced. */
  staged(): readonly StagedReport[] {
    return [...this.#staged.values()].map((policy) => ({
      ...policy.report,
      selects: [...this.#subjects.itemsOf(policy.report.key)].sort(),
    }));
  }

  /** Tells the sink what has changed since the last flush: dependencies first, removals in reverse. */
  flush(): void {
    if (!this.#inSync) return;
    this.#told.settings(this.#settings.settings);
    const changed = this.#told.changes(this.#dirty, (key) => this.#enforcementOf(key));
    this.#dirty.clear();
    this.#rules.flushAdditions(this.#sink, (id) => this.#rulesOf(id));
    for (const { removal, tell } of changed) if (!removal) tell();
    for (const { removal, tell } of changed) if (removal) tell();
    this.#rules.flushRemovals(this.#sink);
    this.#told.pools(this.#pools.values());
    const routes = this.#routes.take();
    if (routes === undefined) return;
    this.#told.hosts(routes.hosts);
    this.#sink.localBlocks(routes.own);
    this.#sink.remoteRoutes(routes.remote);
  }

  #updateResource(key: string, { kind, name, namespace }: ResourceKey, value: string | undefined): void {
    const read = <Result>(reader: (text: string) => Result) => this.#read(key, value, reader);
    switch (kind) {
      case "WorkloadEndpoint":
        this.#setEndpoint(
          key,
          read((text) => this.#elsewhere.read(text) ?? readEndpoint(key, text)),
        );
        break;
      case "HostEndpoint":
        this.#setEndpoint(
          key,
          read((text) => readHostEndpoint(key, text)),
        );
        break;
      case "GlobalNetworkSet":
        this.#setNetworkSet(
          key,
          read((text) => readGlobalNetworkSet(key, text)),
          { value, namespace: undefined },
        );
        break;
      case "NetworkSet":
        this.#setNetworkSet(
          key,
          read((text) => readNetworkSet(key, text, namespace ?? "")),
          { value, namespace },
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
      case "StagedGlobalNetworkPolicy":
      case "StagedNetworkPolicy":
        this.#setStaged(
          key,
          read((text) => readStagedPolicy(key, text, name, namespace)),
        );
        break;
      case "Tier": {
        const tier = read((text) => tierInfo(text, key));
        const problem = `tier ${name} cannot be read`;
        this.#setTier(
          name,
          tier ?? (value === undefined ? undefined : { order: undefined, defaultAction: "deny", problem }),
        );
        break;
      }
      case "FelixConfiguration": {
        const configuration = read((text) => readFelixConfiguration(text, key));
        if (configuration === undefined) this.#configurations.delete(name);
        else this.#configurations.set(name, configuration);
        const wrong = configuration?.problems ?? [];
        if (wrong.length > 0) this.#invalid.set(key, wrong.join("; "));
        this.#onSettings();
        break;
      }
      case "ClusterInformation":
        this.#clusterType = read((text) => decodeClusterInformation(text, key))?.spec.clusterType;
        this.#onSettings();
        break;
      case "IPPool":
        this.#setPool(
          key,
          read((text) => decodeIpPool(text, key)),
        );
        break;
      case "Node":
        this.#setNode(
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
    if (labelled === undefined) this.#rules.index.removeItem(key);
    else this.#rules.index.setItem(key, labelled.source, labelled);
  }

  #setNetworkSet(
    key: string,
    labelled: Labelled | undefined,
    { value, namespace }: { readonly value: string | undefined; readonly namespace: string | undefined },
  ): void {
    this.#setLabelled(key, labelled);
    if (this.#unreadable.set(key, labelled === undefined ? value : undefined, namespace)) this.#doubtEverybody();
  }

  /** What an unreadable set may mean has changed: rare, so nobody remembers whom it concerns. */
  #doubtEverybody(): void {
    for (const key of this.#local.keys()) this.#dirty.add(key);
  }

  #setNode(name: string, node: Node | undefined): void {
    this.#routes.setNode(name, node);
    if (name !== this.#host) return;
    this.#hostLabels = node?.metadata.labels ?? {};
    this.#onSettings();
  }

  #onSettings(): void {
    const before = this.#settings.sourceSpoofing;
    this.#settings = effectiveSettings(
      this.#host,
      this.#configurations,
      this.#hostLabels,
      this.#localSettings,
      this.#clusterType,
    );
    if (before === this.#settings.sourceSpoofing) return;
    for (const [key, { endpoint }] of this.#local) {
      if (endpoint.kind === "workload" && endpoint.allowedSources.length > 0) this.#dirty.add(key);
    }
  }

  #setStaged(key: string, policy: StagedPolicy | undefined): void {
    if (this.#staged.delete(key)) this.#subjects.removeSelector(key);
    if (policy === undefined) return;
    this.#staged.set(key, policy);
    this.#subjects.addSelector(key, policy.selector);
  }

  #setPool(key: string, pool: Pool | undefined): void {
    if (pool === undefined) this.#pools.delete(key);
    else this.#pools.set(key, { cidr: pool.cidr, natOutgoing: pool.natOutgoing });
  }

  #setEndpoint(key: string, endpoint: LocalSubject | Labelled | undefined): void {
    this.#setLabelled(key, endpoint);
    const before = this.#local.get(key);
    const local = endpoint !== undefined && "host" in endpoint && this.#isOurs(endpoint) ? endpoint : undefined;
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

  /** A receiver that knows no host endpoints leaves the host's interfaces as they are. */
  #isOurs({ host, kind }: LocalSubject): boolean {
    return host === this.#host && (kind === "workload" || this.#sink.hostEndpoint !== undefined);
  }

  #onSelected(policy: string, endpoint: string, selected: boolean): void {
    const local = this.#local.get(endpoint);
    if (local === undefined || this.#staged.has(policy)) return;
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
    this.#rules.index.setProfileLabels(name, profile?.spec.labelsToApply);
    this.#subjects.setProfileLabels(name, profile?.spec.labelsToApply);
    if (this.#unreadable.any) this.#doubtEverybody();
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
    this.#subjects.addSelector(key, policy.selector);
  }

  #setTier(name: string, tier: TierInfo | undefined): void {
    if (tier === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, tier);
    for (const [key, { policies }] of this.#local) if (policies.size > 0) this.#dirty.add(key);
  }

  /** Undefined: nothing is enforced for it on this host (any more). */
  #enforcementOf(key: string): Enforcement | undefined {
    const local = this.#local.get(key);
    if (local === undefined) return undefined;
    const { endpoint, policies } = local;
    const selecting = [...policies].flatMap((key) => this.#policies.get(key) ?? []);
    const context = {
      tiers: this.#tiers,
      problemsOf: (id: RuleListId, missing: string) => this.#problemsOf(id, missing),
      sourceSpoofing: this.#settings.sourceSpoofing && this.#sink.hostSettings !== undefined,
    };
    return endpoint.kind === "workload"
      ? { kind: "workload", enforcement: workloadEnforcement(endpoint, selecting, context) }
      : { kind: "host", enforcement: hostEndpointEnforcement(endpoint, selecting, context) };
  }

  #problemsOf(id: RuleListId, missing: string): readonly string[] {
    const source = this.#ruleSources.get(id);
    if (source === undefined) return [missing];
    if (!source.result.ok) return [source.result.problem];
    const unknown = this.#unreadable.problemsOf(id, source.result.rules, this.#rules.index);
    if (unknown.length > 0 || this.#sink.portSet !== undefined) return unknown;
    const named = [...source.result.rules.sets.values()].find(({ port }) => port !== undefined)?.port;
    return named === undefined ? [] : [`${id}: named port "${named.name}" is not supported yet`];
  }

  #rulesOf(id: RuleListId): ConvertedRules {
    const result = this.#ruleSources.get(id)?.result;
    invariant(result?.ok === true, `rule list ${id} is referred to but has no rules`);
    return result.rules;
  }
}

function tierInfo(text: string, key: string): TierInfo {
  const { order, defaultAction } = decodeTier(text, key).spec;
  return { order, defaultAction: defaultAction === "Pass" ? "pass" : "deny" };
}
