/**
 * Names as v3 allows them, made from names of other systems that allow more (calico-datastore.md 7.3): the same input
 * always gives the same name, different inputs different ones, and the name can be a label key too (a tag). The
 * original goes into an annotation.
 */

import { createHash } from "node:crypto";
import { isLabelKey, isResourceName } from "./names.ts";

export const classicNameAnnotation = "margay.io/classic-name";

/** A tag is a label key: at most 63 characters. */
const lengthMax = 63;
const hashLength = 8;

/** A name that is allowed as it is stays what it is. */
export function normalizedName(text: string): string {
  const normal = text
    .toLowerCase()
    .replaceAll("/", ".")
    .replaceAll(/[^a-z0-9.-]/g, "-")
    .replaceAll(/[-.]*\.[-.]*/g, ".")
    .replaceAll(/-+/g, "-")
    .replaceAll(/^[-.]+|[-.]+$/g, "");
  if (normal === text && isResourceName(text) && isLabelKey(text)) return text;
  const hash = createHash("sha1").update(text).digest("hex").slice(0, hashLength);
  const start = normal.slice(0, lengthMax - hashLength - 1).replaceAll(/[-.]+$/g, "");
  return start === "" ? `network-${hash}` : `${start}-${hash}`;
}
