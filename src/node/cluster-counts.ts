/** How many objects of each kind the cluster has, counted as they come and go. */
import { kindPrefix, parseResourceKey, resourcesPrefix } from "../model/keys.ts";
import type { Kind } from "../model/kinds.ts";

const endpointsPrefix = kindPrefix("WorkloadEndpoint");

export class ClusterCounts {
  readonly #counts = new Map<Kind, number>();

  /** `known`: the key was there before. @returns its kind, if it has one */
  update(key: string, exists: boolean, known: boolean): Kind | undefined {
    const kind = kindOf(key);
    if (kind !== undefined && exists !== known) this.#counts.set(kind, this.of(kind) + (exists ? 1 : -1));
    return kind;
  }

  of(...kinds: readonly Kind[]): number {
    return kinds.reduce((sum, kind) => sum + (this.#counts.get(kind) ?? 0), 0);
  }
}

function kindOf(key: string): Kind | undefined {
  // Nearly all keys of a large cluster are these.
  if (key.startsWith(endpointsPrefix)) return "WorkloadEndpoint";
  return key.startsWith(resourcesPrefix) ? parseResourceKey(key)?.kind : undefined;
}
