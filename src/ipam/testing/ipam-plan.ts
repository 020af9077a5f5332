/** An address plan in memory: pools, hosts and an allocator, as IPAM's unit tests use it. */

import { expect } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { newIpPool } from "../../model/ip-pool.ts";
import { type Block, decodeBlock } from "../../model/ipam-documents.ts";
import { blocksPrefix, ipPoolKey, nodeKey } from "../../model/keys.ts";
import { newNode } from "../../model/node.ts";
import { encode } from "../../model/resource.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import { Ipam } from "../ipam.ts";

const stamp = { uid: "u", nowMs: 0 };

export interface Plan extends AsyncDisposable {
  readonly store: Store;
  readonly clock: TestClock;
  readonly ipam: Ipam;
  assign(host: string, more?: Partial<Parameters<Ipam["assignAddress"]>[0]>): Promise<string>;
}

export async function plan(
  pools: readonly string[] = ["10.0.0.0/24"],
  hosts: readonly string[] = ["h1", "h2"],
): Promise<Plan> {
  const clock = new TestClock();
  const store = await openSqliteStore({ path: ":memory:", clock });
  for (const [at, cidr] of pools.entries()) await putPool(store, `p${at}`, cidr);
  for (const host of hosts) await store.put(nodeKey(host), encode(newNode({ name: host }, stamp)));
  const ipam = new Ipam({ store, clock });
  let handles = 0;
  return {
    store,
    clock,
    ipam,
    assign: (host, more = {}) => ipam.assignAddress({ host, family: 4, handle: `h${++handles}`, ...more }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

export async function putPool(
  store: Store,
  name: string,
  cidr: string,
  change: Record<string, unknown> = {},
): Promise<void> {
  const pool = newIpPool({ name, cidr: parseCidr(cidr), blockSize: cidr.includes(":") ? 124 : 28 }, stamp);
  await store.put(ipPoolKey(name), encode({ ...pool, spec: { ...pool.spec, ...change } }));
}

export async function refusal(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    (value) => `granted ${value}`,
    (error) => (error instanceof OperationError ? error.code : `${error}`),
  );
}

export async function onlyBlock(store: Store): Promise<Block> {
  const { kvs } = await store.list(blocksPrefix);
  expect(kvs).toHaveLength(1);
  return decodeBlock(kvs[0]?.value ?? "");
}

export async function putReservation(store: Store, ...cidrs: readonly string[]): Promise<void> {
  const reservation = {
    kind: "IPReservation",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "r" },
    spec: { reservedCIDRs: cidrs },
  };
  await store.put("/calico/resources/v3/projectcalico.org/ipreservations/r", JSON.stringify(reservation));
}
