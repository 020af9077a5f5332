/**
 * Tags that are names of profiles: a profile whose name v3 does not allow is stored under a normalised name and gives its
 * members the label of that name; users read and write the name they gave.
 */

import type { Store } from "../../../store/store.ts";
import { listProfileNames } from "./profile-access.ts";

export interface TagNames {
  /** The label a tag is. */
  label(tag: string): string;
  /** The tag a label is called. */
  tag(label: string): string;
}

export async function readTagNames(store: Store): Promise<TagNames> {
  const renamed = (await listProfileNames(store)).filter(({ name, stored }) => name !== stored);
  const labels = new Map(renamed.map(({ name, stored }) => [name, stored]));
  const tags = new Map(renamed.map(({ name, stored }) => [stored, name]));
  return { label: (tag) => labels.get(tag) ?? tag, tag: (label) => tags.get(label) ?? label };
}

export const plainTagNames: TagNames = { label: (tag) => tag, tag: (label) => label };
