/**
 * One stored resource read, changed and written again: what patch and label share. Somebody else's change in between is
 * looked at again, five times at most.
 */

import type { AnyResource } from "../../../model/resource.ts";
import type { CalicoctlContext } from "../command.ts";
import { DryRunStore } from "../dry-run-store.ts";
import { changeOf, type ResourceChange } from "./resource-change.ts";
import { doesNotExist, ResourceError, type ResourceId, updateConflict } from "./resource-error.ts";
import { readResource } from "./resource-reader.ts";
import { ResourceWriter } from "./resource-writer.ts";

const attemptsMax = 5;

/** Prepares what is written from what is there. @throws whatever refuses it */
export type Edit = (stored: AnyResource) => AnyResource;

/** @throws ResourceError, BadInput, what `edit` throws */
export async function editResource(
  { store, clock, io }: CalicoctlContext,
  id: ResourceId,
  edit: Edit,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<ResourceChange | undefined> {
  const opened = await store();
  const copy = dryRun ? new DryRunStore(opened) : undefined;
  const written = copy ?? opened;
  const writer = new ResourceWriter({ store: written, clock, signal: io.signal, ipam: undefined });
  const once = async () => {
    const before = await readResource(written, id);
    if (before === undefined) throw doesNotExist(id);
    await writer.update(edit(before), String(before.metadata.resourceVersion));
  };
  if (copy !== undefined) return await changeOf(copy, id, "patched", once);
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    try {
      await once();
      return undefined;
    } catch (error) {
      if (!(error instanceof ResourceError) || error.reason !== "conflict") throw error;
    }
  }
  throw updateConflict(id);
}
