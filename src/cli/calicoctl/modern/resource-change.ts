/**
 * What writing one resource would change: tried on a copy that is never stored, then compared in the form users see. What
 * the store alone decides (version, uid, time of creation) is left out.
 */

import type { AnyResource } from "../../../model/resource.ts";
import type { DryRunStore } from "../dry-run-store.ts";
import { documentYaml } from "./document-yaml.ts";
import { idText, type ResourceId } from "./resource-error.ts";
import { readResource } from "./resource-reader.ts";
import { unifiedDiff } from "./text-diff.ts";

export interface ResourceChange {
  readonly what: "created" | "changed" | "unchanged" | "deleted";
  /** Unified, empty when unchanged. */
  readonly diff: string;
}

/** Does the work on the copy. Later work on it sees what this one did. */
export async function changeOf(
  store: DryRunStore,
  id: ResourceId,
  place: string,
  work: () => Promise<void>,
): Promise<ResourceChange> {
  const before = comparable(await readResource(store, id));
  await work();
  const after = comparable(await readResource(store, id));
  const titles = { from: before === "" ? "/dev/null" : idText(id), to: after === "" ? "/dev/null" : place };
  const diff = unifiedDiff(before, after, titles);
  const what = before === after ? "unchanged" : before === "" ? "created" : after === "" ? "deleted" : "changed";
  return { what, diff };
}

function comparable(resource: AnyResource | undefined): string {
  if (resource === undefined) return "";
  const { resourceVersion: _version, uid: _uid, creationTimestamp: _time, ...metadata } = resource.metadata;
  return documentYaml({ ...resource, metadata });
}
