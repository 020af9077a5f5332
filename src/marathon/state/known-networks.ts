/**
 * Networks that containers can join, as far as the store knows: the replicated Docker networks that Margay's nodes keep. A
 * cluster without such nodes tells nothing, and then every name is taken on trust, as Marathon always did.
 */

import type { Clock } from "../../base/clock.ts";
import type { Store } from "../../store/store.ts";

const networkPrefix = "/margay/docker/networks/";
const nodePrefix = "/calico/resources/v3/projectcalico.org/nodes/";

/**
 * Docker does not tell a driver the name of a network that it creates; the node learns it from an event and writes it down a
 * moment after `docker network create` has returned. A script that posts an app right then is not to be refused.
 */
const appearsWithinMs = 2_000;
const lookEveryMs = 50;

/** @param wanted names that the answer is about: when one is not known yet, it gets a moment to appear. */
export async function knownNetworks(
  store: Store,
  clock: Clock,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  const deadlineMs = clock.monotonicMs() + appearsWithinMs;
  for (;;) {
    const known = await networksNow(store, signal);
    if (known === undefined || wanted.every((name) => known.has(name)) || clock.monotonicMs() >= deadlineMs)
      return known;
    await clock.sleep(lookEveryMs, signal);
  }
}

async function networksNow(store: Store, signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
  const { kvs } = await store.list(networkPrefix, { signal });
  if (kvs.length > 0) return new Set(kvs.map(({ key }) => decodeURIComponent(key.slice(networkPrefix.length))));
  const nodes = await store.list(nodePrefix, { limit: 1, signal });
  return nodes.kvs.length > 0 ? new Set() : undefined;
}
