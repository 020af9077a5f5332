/**
 * What this host remembers of each Docker endpoint while it has an interface: which veth is whose (the store's record may be
 * gone first), and which next hop it got in its sandbox. Kept in files, for the node may restart at any time.
 */
import { z } from "zod";

export const endpointState = z.object({
  networkId: z.string(),
  hostInterface: z.string(),
  /** Docker's name of the container's network namespace; "" before Join and after Leave. */
  sandboxKey: z.string(),
  /** Last byte of the endpoint's next hop 169.254.1.N; 0 before Join. */
  nextHop: z.number().int().min(0).max(254),
  /** Docker has made its next hop the container's default route. */
  isGateway: z.boolean().default(false),
});
export type EndpointState = z.output<typeof endpointState>;

/** Created, and about to join: its address is its own though it has no interface yet. */
export function isStarting(state: EndpointState | undefined): boolean {
  return state?.nextHop === 0;
}

/**
 * 169.254.1.1 for the first endpoint of a container, .2 for the second: two interfaces of one container must not both have
 * a connected route to one next hop. Proxy ARP answers for all of them (reference/docker.md 4.7).
 */
export function chooseNextHop(
  endpointId: string,
  sandboxKey: string,
  endpoints: ReadonlyMap<string, EndpointState>,
): number {
  const own = endpoints.get(endpointId);
  if (own !== undefined && own.nextHop > 0 && own.sandboxKey === sandboxKey) return own.nextHop;
  const taken = new Set<number>();
  for (const [id, state] of endpoints) {
    if (id !== endpointId && state.sandboxKey === sandboxKey && sandboxKey !== "") taken.add(state.nextHop);
  }
  for (let candidate = 1; candidate < 255; candidate += 1) if (!taken.has(candidate)) return candidate;
  return 254;
}

export function nextHopAddress(nextHop: number): string {
  return `169.254.1.${nextHop}`;
}
