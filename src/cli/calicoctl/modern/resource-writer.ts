/**
 * Creates, updates and deletes resources as Calico's clients do: everything by compare-and-swap on the resource's own
 * key, the stored metadata wins except labels and annotations, a given resourceVersion must be the stored one
 * (calico-datastore.md 1.5, calicoctl.md 4.3).
 */

import type { Clock } from "../../../base/clock.ts";
import type { Ipam } from "../../../ipam/ipam.ts";
import { defaultAllowProfileName } from "../../../model/default-profile.ts";
import { IpPool } from "../../../model/ip-pool.ts";
import { checkIpPoolChange } from "../../../model/ip-pool-check.ts";
import { parseResourceKey, resourceKey } from "../../../model/keys.ts";
import { storedPolicyMetadata } from "../../../model/policy-names.ts";
import { type AnyResource, apiVersion, check, encode, type Metadata, newMetadata } from "../../../model/resource.ts";
import { isTieredPolicy, tierOf } from "../../../model/tiered-policies.ts";
import { removeHostsThings } from "../../../node/host-removal.ts";
import type { KeyValue } from "../../../store/store.ts";
import type { ResourceStore } from "../dry-run-store.ts";
import { deleteIpPool } from "./pool-deletion.ts";
import { readable } from "./readable-resource.ts";
import {
  alreadyExists,
  doesNotExist,
  idText,
  notSupported,
  ResourceError,
  type ResourceId,
  updateConflict,
} from "./resource-error.ts";
import { findResource, idOf } from "./resource-reader.ts";
import { checkCreation, checkTierRemoval } from "./resource-store-checks.ts";

const attemptsMax = 5;
const betweenAttemptsMs = 1000;

export type Operation = "create" | "apply" | "replace" | "delete";

export interface ResourceWriterOptions {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Undefined in a dry run: addresses stay where they are. */
  readonly ipam: Ipam | undefined;
}

export class ResourceWriter {
  readonly #options: ResourceWriterOptions;

  constructor(options: ResourceWriterOptions) {
    this.#options = options;
  }

  /** @throws ResourceError, BadInput */
  async create(resource: AnyResource): Promise<void> {
    const { store, clock } = this.#options;
    const id = idOf(resource);
    const { name } = id;
    refuseForeign("create", id);
    if (isDefaultAllow(id)) throw alreadyExists(id);
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const rests = await checkCreation(store, resource);
      const { kv, free } = await findResource(store, id, resource);
      if (kv !== undefined) throw alreadyExists(id);
      const { namespace, labels, annotations } = resource.metadata;
      const more = {
        ...(namespace === undefined ? {} : { namespace }),
        ...(labels === undefined ? {} : { labels }),
        ...(annotations === undefined ? {} : { annotations }),
      };
      const metadata = newMetadata(name, { uid: clock.uuid(), nowMs: clock.nowMs() }, more);
      const { succeeded } = await store.transact({
        compare: [...free.map((key) => ({ key, modRevision: 0 })), ...rests],
        success: [{ put: resourceKey(id), value: encode(stored(resource, policyMetadata(resource, metadata, name))) }],
      });
      if (succeeded) return;
    }
    throw updateConflict(id);
  }

  /** @throws ResourceError, BadInput */
  async update(resource: AnyResource, resourceVersion: string | undefined): Promise<void> {
    const { store } = this.#options;
    const id = idOf(resource);
    if (isDefaultAllow(id)) throw notSupported("Update", id.name, "the profile is built in");
    await this.#attempts(id, resourceVersion, resource, async (kv) => {
      const before = readable(kv.value, kv.key);
      if (before !== undefined && id.kind === "IPPool") {
        checkIpPoolChange(check(IpPool, before), check(IpPool, resource));
      }
      const metadata = policyMetadata(
        resource,
        this.#kept(resource, before),
        parseResourceKey(kv.key)?.name ?? id.name,
      );
      const status = resource.status ?? before?.status;
      const value = encode(stored({ ...resource, ...(status === undefined ? {} : { status }) }, metadata));
      const { succeeded } = await store.transact({
        compare: [{ key: kv.key, modRevision: kv.modRevision }],
        success: [{ put: kv.key, value }],
      });
      return succeeded;
    });
  }

  /** Create, and update what is there already. @throws ResourceError, BadInput */
  async apply(resource: AnyResource, resourceVersion: string | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const why = await reasonOf(() => this.create(resource), ["exists", "unsupported"]);
      if (why === undefined) return;
      // Deleted by somebody in between: it is to be there all the same.
      const again = why === "exists" && attempt < attemptsMax;
      const then = await reasonOf(() => this.update(resource, resourceVersion), again ? ["missing"] : []);
      if (then === undefined) return;
    }
  }

  /** @throws ResourceError */
  async delete(id: ResourceId, resourceVersion: string | undefined, like?: AnyResource): Promise<void> {
    const { store } = this.#options;
    refuseForeign("delete", id);
    if (isDefaultAllow(id)) throw notSupported("Delete", id.name, "the profile is built in");
    if (id.kind === "Tier") await checkTierRemoval(store, id.name);
    await this.#attempts(id, resourceVersion, like, async (kv) => {
      if (id.kind === "IPPool") return await deleteIpPool(this.#options, kv);
      const unchanged = { key: kv.key, modRevision: kv.modRevision };
      if (id.kind === "Node") {
        const done = await removeHostsThings({ ...this.#options, host: id.name, removed: unchanged });
        if (!done) return false;
      }
      const { succeeded } = await store.transact({
        compare: [unchanged],
        success: [{ delete: kv.key }],
      });
      return succeeded;
    });
  }

  /** Again after somebody else's change, unless the caller said which version it means. */
  async #attempts(
    id: ResourceId,
    resourceVersion: string | undefined,
    like: AnyResource | undefined,
    change: (kv: KeyValue) => Promise<boolean>,
  ): Promise<void> {
    const { store, clock, signal } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const { kv } = await findResource(store, id, like);
      if (kv === undefined) throw doesNotExist(id);
      if (resourceVersion !== undefined && resourceVersion !== String(kv.modRevision)) throw updateConflict(id);
      if (await change(kv)) return;
      if (resourceVersion !== undefined || attempt === attemptsMax) throw updateConflict(id);
      await clock.sleep(betweenAttemptsMs, signal);
    }
  }

  #kept(resource: AnyResource, before: AnyResource | undefined): Metadata {
    const { clock } = this.#options;
    const fresh = newMetadata(resource.metadata.name, { uid: clock.uuid(), nowMs: clock.nowMs() });
    const { namespace, labels, annotations } = resource.metadata;
    const { labels: _labels, annotations: _annotations, ...rest } = before?.metadata ?? fresh;
    return {
      ...fresh,
      ...(namespace === undefined ? {} : { namespace }),
      ...rest,
      name: resource.metadata.name,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    };
  }
}

function isDefaultAllow({ kind, name }: ResourceId): boolean {
  return kind === "Profile" && name === defaultAllowProfileName;
}

/** What mirrors objects of Kubernetes is written there. */
function refuseForeign(operation: Operation, id: ResourceId): void {
  if (!isTieredPolicy(id.kind) || !id.name.startsWith("knp.default.")) return;
  throw notSupported(operation, idText(id), "kubernetes network policies must be managed through the kubernetes API");
}

function policyMetadata(resource: AnyResource, metadata: Metadata, storedName: string): Metadata {
  if (!isTieredPolicy(resource.kind)) return metadata;
  return storedPolicyMetadata(metadata, tierOf(resource.spec as { tier?: string }), storedName);
}

function stored({ kind, spec, status }: AnyResource, metadata: Metadata): AnyResource {
  return {
    kind,
    apiVersion,
    metadata,
    ...(spec === undefined ? {} : { spec }),
    ...(status === undefined ? {} : { status }),
  };
}

/** The reason among those it expects; other failures go on. */
async function reasonOf(
  work: () => Promise<void>,
  expected: readonly ResourceError["reason"][],
): Promise<ResourceError["reason"] | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof ResourceError && expected.includes(error.reason)) return error.reason;
    throw error;
  }
}
