/**
 * The Node of this host in the store: made if absent, and kept true about what only this host knows, its addresses. All
 * else that is written on it (labels, tunnel addresses, fields nobody here knows) is left as it is.
 */
import { ipFamily, prefixLength, tryParseCidr, tryParseIpAddress } from "../../base/addresses.ts";
import { type Clock, deadline } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { kindPrefix, nodeKey, parseResourceKey } from "../../model/keys.ts";
import { decodeNode, hostAddress, type Node, newNode } from "../../model/node.ts";
import { encode } from "../../model/resource.ts";
import type { KeyValue, Store } from "../../store/store.ts";
import { type HostAddress, type HostSurroundings, presentableInterfaces } from "./address-detection.ts";
import { type AddressWishes, addressText, fulfilBoth, type HostAddresses } from "./address-wish.ts";
import { commit, untilCommitted } from "./committed.ts";

export interface NodeResourceOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly host: string;
  readonly addresses: AddressWishes;
  readonly surroundings: HostSurroundings;
  readonly asNumber: number | undefined;
  readonly allowDuplicateAddress: boolean;
  readonly signal: AbortSignal;
}

/** Resolves with the addresses that other hosts find there. @throws NODE_DUPLICATE_ADDRESS, NODE_NO_ADDRESS */
export async function ensureNode(options: NodeResourceOptions): Promise<HostAddresses> {
  const { store, clock, host, surroundings, signal } = options;
  const key = nodeKey(host);
  return await untilCommitted(`Node ${host}`, async () => {
    const { kvs } = await store.list(kindPrefix("Node"), { signal });
    const stored = kvs.find((kv) => kv.key === key);
    const current = stored === undefined ? undefined : decodeNode(stored.value, key);
    const addresses = await fulfilBoth(options.addresses, storedAddresses(current), surroundings);
    if (!options.allowDuplicateAddress) refuseDuplicateAddress(kvs, key, addresses);
    const before = current ?? newNode({ name: host }, { uid: clock.uuid(), nowMs: clock.nowMs() });
    const value = encode(withAddresses(before, addresses, options));
    if (value === stored?.value) return addresses;
    const done = await commit(store, { key, modRevision: stored?.modRevision ?? 0, value }, signal);
    return done && addresses;
  });
}

const storedWithinMs = 5_000;

/**
 * What a node starts with: what can be seen from here, because the datastore may be out of reach. Only where nothing can
 * be seen, what the Node says. @throws NODE_NO_ADDRESS
 */
export async function firstAddresses({
  store,
  clock,
  host,
  addresses,
  surroundings,
}: Omit<NodeResourceOptions, "signal" | "asNumber" | "allowDuplicateAddress">): Promise<HostAddresses> {
  try {
    return await fulfilBoth(addresses, { ipv4: undefined, ipv6: undefined }, surroundings);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "NODE_NO_ADDRESS") throw error;
    const signal = deadline(clock, storedWithinMs);
    const stored = await store.get(nodeKey(host), { signal }).catch(() => undefined);
    if (stored === undefined) throw error;
    return await fulfilBoth(addresses, storedAddresses(decodeNode(stored.value, stored.key)), surroundings);
  }
}

function withAddresses(node: Node, { ipv4, ipv6 }: HostAddresses, options: NodeResourceOptions): Node {
  const { ipv4Address: _4, ipv6Address: _6, ...bgp } = node.spec.bgp ?? {};
  const own = [ipv4, ipv6].flatMap((one) => (one === undefined ? [] : addressText(one)));
  const others = (node.spec.addresses ?? []).filter(({ type }) => type !== "CalicoNodeIP");
  const interfaces = presentableInterfaces(options.surroundings.interfaces()).map(({ name, addresses }) => ({
    name,
    addresses: addresses.map(addressText),
  }));
  return {
    ...node,
    spec: {
      ...node.spec,
      bgp: {
        ...bgp,
        ...(options.asNumber === undefined ? {} : { asNumber: options.asNumber }),
        ...(ipv4 === undefined ? {} : { ipv4Address: addressText(ipv4) }),
        ...(ipv6 === undefined ? {} : { ipv6Address: addressText(ipv6) }),
      },
      addresses: [...own.map((address) => ({ address, type: "CalicoNodeIP" })), ...others],
      ...(interfaces.length === 0 ? {} : { interfaces }),
    },
  };
}

function storedAddresses(node: Node | undefined): HostAddresses {
  return { ipv4: storedAddress(node?.spec.bgp?.ipv4Address), ipv6: storedAddress(node?.spec.bgp?.ipv6Address) };
}

/** What cannot be read counts as not there. */
function storedAddress(text: string | undefined): HostAddress | undefined {
  const cidr = text === undefined ? undefined : tryParseCidr(text);
  const address = tryParseIpAddress(text?.split("/")[0] ?? "");
  return cidr === undefined || address === undefined ? undefined : { address, prefixLength: prefixLength(cidr) };
}

/** Two hosts with one address would attract each other's traffic: better not to start. */
function refuseDuplicateAddress(nodes: readonly KeyValue[], ownKey: string, { ipv4, ipv6 }: HostAddresses): void {
  for (const { key, value } of nodes) {
    if (key === ownKey) continue;
    for (const { address } of [ipv4, ipv6].filter((one) => one !== undefined)) {
      if (addressOf(value, key, ipFamily(address)) !== address) continue;
      const other = parseResourceKey(key)?.name ?? key;
      throw new OperationError("NODE_DUPLICATE_ADDRESS", `host ${other} already has the address ${address}`, {
        remedy: "give this host another --ip, or remove the other with: calicoctl delete node",
        retry: "after-change",
      });
    }
  }
}

/** Of a Node that nobody can read: none. */
function addressOf(value: string, key: string, family: 4 | 6) {
  try {
    return hostAddress(decodeNode(value, key), family);
  } catch {
    return undefined;
  }
}
