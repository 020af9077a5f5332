/**
 * Under which names policies are stored (calico-datastore.md 1.10). Four generations of clients wrote four forms: always
 * `default.<name>`; `<tier>.<name>`; the same with the user's name in an annotation; the user's name as it is. All of
 * them are read; a policy is changed under the key it has; new ones get the newest form. Renaming old ones is a plan that
 * somebody asks for, because clients of older releases do not find renamed policies.
 */

import { BadInput } from "../base/errors.ts";
import { resourceKey } from "./keys.ts";
import type { Kind } from "./kinds.ts";
import { AnyResource, decode, encode, type Metadata } from "./resource.ts";
import { isTieredPolicy, type TieredPolicyKind, tierOf, userPolicyName } from "./tiered-policies.ts";

export const metadataAnnotation = "projectcalico.org/metadata";
export const tierLabel = "projectcalico.org/tier";

export interface PolicyIdentity {
  readonly kind: TieredPolicyKind;
  readonly name: string;
  readonly namespace?: string;
}

/** Where a policy of this name may lie, in the order to look: exact, then of tier default, then of its tier. */
export function policyKeys({ kind, name, namespace }: PolicyIdentity, tier?: string): readonly string[] {
  const names = [name, `default.${name}`, ...(tier === undefined || tier === "" ? [] : [`${tier}.${name}`])];
  return [...new Set(names)].map((stored) =>
    resourceKey(namespace === undefined ? { kind, name: stored } : { kind, name: stored, namespace }),
  );
}

/** What a stored policy is called: by the annotation, else without the prefix that its release put before it. */
export function policyNameOf({ metadata, spec }: Pick<AnyResource, "metadata" | "spec">): string {
  const given = userPolicyName({ name: "", annotations: metadata.annotations });
  if (given !== "") return given;
  const tier = tierOf((spec ?? {}) as { tier?: string });
  return tier === "default" ? userPolicyName({ name: metadata.name }) : metadata.name;
}

/** As users see it: under their name, without what is kept for machines. */
export function shownPolicy(resource: AnyResource): AnyResource {
  const { [metadataAnnotation]: _hidden, ...annotations } = resource.metadata.annotations ?? {};
  const { annotations: _all, ...metadata } = resource.metadata;
  const rest = Object.keys(annotations).length === 0 ? {} : { annotations };
  return { ...resource, metadata: { ...metadata, name: policyNameOf(resource), ...rest } };
}

/** What 3.32 puts on every policy it writes. `storedName`: of the key that exists, else the user's name. */
export function storedPolicyMetadata(metadata: Metadata, tier: string, storedName = metadata.name): Metadata {
  return {
    ...metadata,
    name: storedName,
    labels: { ...metadata.labels, [tierLabel]: tier },
    annotations: { ...metadata.annotations, [metadataAnnotation]: JSON.stringify({ name: metadata.name }) },
  };
}

export interface StoredPolicy {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

/** One policy: put `create` at the new key (it must not exist), and delete the old one (it must not have changed). */
export interface PolicyMove {
  readonly kind: Kind;
  readonly from: string;
  readonly to: string;
  /** Undefined: the new key holds it already; somebody who goes step by step was stopped in between. */
  readonly create: string | undefined;
  readonly fromRevision: number;
  /** Of the new key; 0: it must not exist. */
  readonly toRevision: number;
}

export interface PolicyMigration {
  readonly moves: readonly PolicyMove[];
  /** Stored ones that stay, with why. */
  readonly left: readonly { readonly key: string; readonly reason: string }[];
}

/** From `default.<name>` in tier default to `<name>`. Where both keys hold the same policy only the old one is removed. */
export function planPolicyMigration(stored: readonly StoredPolicy[]): PolicyMigration {
  const byKey = new Map(stored.map((one) => [one.key, one]));
  const moves: PolicyMove[] = [];
  const left: { key: string; reason: string }[] = [];
  for (const { key, value, modRevision } of [...stored].sort((a, b) => (a.key < b.key ? -1 : 1))) {
    if (!/\/default\.[^/]+$/.test(key)) continue;
    const move = moveOf(key, value, modRevision);
    if (typeof move === "string") {
      left.push({ key, reason: move });
      continue;
    }
    const there = byKey.get(move.to);
    if (there === undefined) moves.push(move);
    else if (sameSpec(there.value, value)) {
      moves.push({ ...move, create: undefined, toRevision: there.modRevision });
    } else left.push({ key, reason: `${move.to} is another policy` });
  }
  return { moves, left };
}

function moveOf(key: string, value: string, fromRevision: number): PolicyMove | string {
  try {
    const resource = decode(AnyResource, value, key);
    const { kind, metadata, spec } = resource;
    const { namespace } = metadata;
    if (!isTieredPolicy(kind)) return `${kind} is not stored under its tier's name`;
    if (tierOf((spec ?? {}) as { tier?: string }) !== "default") return "it is not of tier default";
    const name = policyNameOf(resource);
    if (name === metadata.name) return "this is what its user called it";
    const to = resourceKey(namespace === undefined ? { kind, name } : { kind, name, namespace });
    const renamed = { ...resource, metadata: storedPolicyMetadata({ ...metadata, name }, "default") };
    return { kind, from: key, to, create: encode(renamed), fromRevision, toRevision: 0 };
  } catch (error) {
    if (error instanceof BadInput) return error.message;
    throw error;
  }
}

function sameSpec(a: string, b: string): boolean {
  try {
    return JSON.stringify(decode(AnyResource, a).spec) === JSON.stringify(decode(AnyResource, b).spec);
  } catch (error) {
    if (error instanceof BadInput) return false;
    throw error;
  }
}
