/**
 * What all resources share: the envelope, its reading and its writing (calico-datastore.md 1.4).
 * - Fields nobody here knows survive a read and a write: newer writers share the store.
 * - The stored form never carries resourceVersion or selfLink; the revision of the key is the version.
 * Absent on purpose: reading or writing a store, the time and random ids (they are handed in).
 */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { parseJson, stringifyJson } from "./json.ts";

export const apiVersion = "projectcalico.org/v3";

/** Go writes an empty list or map as null here and there: read it as absent. */
export function absentOr<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((value) => value ?? undefined, schema.optional()).optional();
}

const stringMap = z.record(z.string(), z.string());

export const Metadata = z.looseObject({
  name: z.string().min(1),
  namespace: absentOr(z.string()),
  uid: absentOr(z.string()),
  creationTimestamp: absentOr(z.string()),
  labels: absentOr(stringMap),
  annotations: absentOr(stringMap),
});
export type Metadata = z.infer<typeof Metadata>;

/** A resource of which only the envelope is known. */
export const AnyResource = z.looseObject({
  kind: z.string(),
  apiVersion: z.string(),
  metadata: Metadata,
  spec: absentOr(z.looseObject({})),
  status: absentOr(z.looseObject({})),
});
export type AnyResource = z.infer<typeof AnyResource>;

/** The schema of a kind with the given spec. */
export function resourceSchema<const KindName extends string, Spec extends z.ZodType>(kind: KindName, spec: Spec) {
  return z.looseObject({ kind: z.literal(kind), apiVersion: z.literal(apiVersion), metadata: Metadata, spec });
}

export interface NewObject {
  readonly uid: string;
  readonly nowMs: number;
}

/** Metadata of an object about to be created: creationTimestamp in whole seconds, a UUID as uid. */
export function newMetadata(
  name: string,
  { uid, nowMs }: NewObject,
  more: Partial<Pick<Metadata, "namespace" | "labels" | "annotations">> = {},
): Metadata {
  const { namespace, labels, annotations } = more;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid,
    creationTimestamp: timestamp(nowMs),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** RFC 3339, UTC, whole seconds. */
export function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** @throws BadInput naming the first field that is wrong. */
export function decode<Schema extends z.ZodType>(schema: Schema, text: string, path = ""): z.output<Schema> {
  return check(schema, parseJson(text, path), path);
}

/** @throws BadInput naming the first field that is wrong. */
export function check<Schema extends z.ZodType>(schema: Schema, value: unknown, path = ""): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = [path, ...(issue?.path ?? []).map(String)].filter((part) => part !== "").join(".");
  throw new BadInput(where, issue?.message ?? "not valid", "see the field's definition");
}

export function encode(resource: { readonly metadata: Metadata } & Readonly<Record<string, unknown>>): string {
  const { kind, apiVersion: version, metadata, spec, status, ...rest } = resource;
  const { resourceVersion: _revision, selfLink: _link, ...stored } = metadata;
  return stringifyJson({ kind, apiVersion: version ?? apiVersion, metadata: stored, spec, status, ...rest });
}
