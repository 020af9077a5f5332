/**
 * ClusterInformation `default` and what initialising an empty store writes (calico-datastore.md 1.8).
 * The caller reads, applies the writes with a compare on each key, and does it again on a conflict.
 */

import { z } from "zod";
import { clusterInformationKey, tierKey } from "./keys.ts";
import { absentOr, apiVersion, decode, encode, newMetadata, resourceSchema } from "./resource.ts";
import { builtInTiers, newTier } from "./tier.ts";

export const ClusterInformationSpec = z.looseObject({
  clusterGUID: absentOr(z.string()),
  clusterType: absentOr(z.string()),
  calicoVersion: absentOr(z.string()),
  datastoreReady: absentOr(z.boolean()),
});

export const ClusterInformation = z.looseObject({
  ...resourceSchema("ClusterInformation", ClusterInformationSpec).shape,
  spec: z.preprocess((value) => value ?? {}, ClusterInformationSpec),
});
export type ClusterInformation = z.infer<typeof ClusterInformation>;

/** @throws BadInput */
export function decodeClusterInformation(text: string, path = ""): ClusterInformation {
  return decode(ClusterInformation, text, path);
}

export interface Initialization {
  /** For example "margay"; merged into the comma list. */
  readonly clusterType: string;
  /** Empty: leave calicoVersion alone, so that every calicoctl is content. */
  readonly calicoVersion?: string;
  readonly nowMs: number;
  readonly uuid: () => string;
}

export interface InitialWrite {
  readonly key: string;
  readonly value: string;
  /** The value the key must still have; undefined: the key must not exist. */
  readonly expected: string | undefined;
}

/** The keys initializationWrites() wants to know the present values of. */
export const initializationKeys: readonly string[] = [
  clusterInformationKey,
  ...builtInTiers.map(({ name }) => tierKey(name)),
];

/** Never flips datastoreReady from false to true. @throws BadInput when the stored object cannot be read. */
export function initializationWrites(
  current: ReadonlyMap<string, string>,
  { clusterType, calicoVersion, nowMs, uuid }: Initialization,
): readonly InitialWrite[] {
  const writes: InitialWrite[] = [];
  const stored = current.get(clusterInformationKey);
  const value = stored === undefined ? fresh() : merged(decodeClusterInformation(stored, clusterInformationKey));
  if (value !== undefined) writes.push({ key: clusterInformationKey, value, expected: stored });
  for (const { name, order, defaultAction } of builtInTiers) {
    const key = tierKey(name);
    if (current.has(key)) continue;
    writes.push({
      key,
      value: encode(newTier(name, order, defaultAction, { uid: uuid(), nowMs })),
      expected: undefined,
    });
  }
  return writes;

  function fresh(): string {
    return encode({
      kind: "ClusterInformation",
      apiVersion,
      metadata: newMetadata("default", { uid: uuid(), nowMs }),
      spec: {
        clusterGUID: uuid().replaceAll("-", ""),
        clusterType,
        ...(calicoVersion ? { calicoVersion } : {}),
        datastoreReady: true,
      },
    });
  }

  function merged(existing: ClusterInformation): string | undefined {
    const types = (existing.spec.clusterType ?? "").split(",").filter((type) => type !== "");
    const missing = clusterType.split(",").filter((type) => !types.includes(type));
    const spec = {
      ...existing.spec,
      clusterGUID: existing.spec.clusterGUID ?? uuid().replaceAll("-", ""),
      clusterType: [...types, ...missing].join(","),
      ...(calicoVersion ? { calicoVersion } : {}),
      datastoreReady: existing.spec.datastoreReady ?? true,
    };
    const unchanged = (Object.keys(spec) as (keyof typeof spec)[]).every(
      (field) => spec[field] === existing.spec[field],
    );
    return unchanged ? undefined : encode({ ...existing, spec });
  }
}
