/**
 * How many objects of each kind the cluster has, counted as they come and go, and how often each kind changed. Plain numbers,
 * because a start with a hundred thousand endpoints passes here.
 */
import { kindPrefix, parseResourceKey, resourcesPrefix } from "../model/keys.ts";
import type { Kind } from "../model/kinds.ts";

const endpointsPrefix = kindPrefix("WorkloadEndpoint");

export class ClusterCounts {
  readonly #counts = new Map<Kind, number>();
  readonly #changes = new Map<Kind, number>();

  /** `known`: the key was there before. */
  update(key: string, exists: boolean, known: boolean): void {
    const kind = kindOf(key);
    if (kind === undefined) return;
    this.#changes.set(kind, (this.#changes.get(kind) ?? 0) + 1);
    if (exists !== known) this.#counts.set(kind, this.of(kind) + (exists ? 1 : -1));
  }

  get changes(): ReadonlyMap<Kind, number> {
    return this.#changes;
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
