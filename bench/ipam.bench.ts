/**
 * Addresses per second: taken one after the other and 100 at once by one host, and by 50 hosts (an allocator and a connection
 * each) at the same time, on the embedded store and on etcd, both over the wire. An address with its handle and the caller's
 * record is one unit. Goals: 100 at once within 100 ms at one host, and no address lost or given twice.
 */

import { parseCidr } from "../src/base/addresses.ts";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { Ipam } from "../src/ipam/ipam.ts";
import { newIpPool } from "../src/model/ip-pool.ts";
import { ipPoolKey, nodeKey } from "../src/model/keys.ts";
import { newNode } from "../src/model/node.ts";
import { encode } from "../src/model/resource.ts";
import { connectEtcd } from "../src/store/etcd-client.ts";
import type { Store } from "../src/store/store.ts";
import { StoreProcess } from "../src/store/testing/store-process.ts";
import { judge, printMachine, printSpread, timedMs } from "./figures.ts";

const hostCount = 50;
const rounds = 10;
const stamp = { uid: "bench", nowMs: 0 };

interface Host {
  readonly name: string;
  readonly ipam: Ipam;
}

/** Each address with a handle and a record of its own, as a container's. */
async function take(host: Host, count: number, atOnce: boolean, run: string): Promise<readonly string[]> {
  const assign = (at: number) =>
    host.ipam.assignAddress({
      host: host.name,
      family: 4,
      handle: `${run}-${host.name}-${at}`,
      also: (address) => [{ put: `/bench/${run}/${host.name}/${at}`, value: address }],
    });
  if (atOnce) return await Promise.all(Array.from({ length: count }, (_, at) => assign(at)));
  const addresses: string[] = [];
  for (let at = 0; at < count; at++) addresses.push(await assign(at));
  return addresses;
}

async function giveBack(host: Host, count: number, run: string): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, at) =>
      host.ipam.releaseByHandle(`${run}-${host.name}-${at}`, {
        also: () => [{ delete: `/bench/${run}/${host.name}/${at}` }],
      }),
    ),
  );
}

function mustDiffer(addresses: readonly string[], count: number): void {
  if (new Set(addresses).size !== count) throw new Error(`${new Set(addresses).size} different of ${count} addresses`);
}

async function measure(kind: "embedded" | "etcd"): Promise<void> {
  console.log(`-- ${kind} store`);
  await using server = await (kind === "etcd" ? StoreProcess.startEtcd() : StoreProcess.startMargay());
  const stores: Store[] = [];
  const hosts: Host[] = [];
  for (let at = 0; at < hostCount; at++) {
    const store = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
    stores.push(store);
    const name = `host${at}`;
    await store.put(nodeKey(name), encode(newNode({ name }, stamp)));
    hosts.push({ name, ipam: new Ipam({ store, clock: systemClock }) });
  }
  const [first] = hosts;
  const [store] = stores;
  if (first === undefined || store === undefined) throw new Error("no host");
  await store.put(ipPoolKey("p"), encode(newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/16") }, stamp)));

  await take(first, 20, false, "warm");
  const oneByOne: number[] = [];
  for (let at = 0; at < 200; at++) oneByOne.push(await timedMs(() => take(first, 1, false, `one${at}`)));
  const single = printSpread("one host, one after the other, each", oneByOne, "ms");
  console.log(
    `one host, one after the other: ${(1000 / (oneByOne.reduce((a, b) => a + b) / 200)).toFixed(0)} per second`,
  );

  const hundreds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let got: readonly string[] = [];
    hundreds.push(
      await timedMs(async () => {
        got = await take(first, 100, true, `hundred${round}`);
      }),
    );
    mustDiffer(got, 100);
    await giveBack(first, 100, `hundred${round}`);
  }
  const hundred = printSpread("one host, 100 at once", hundreds, "ms");
  console.log(`one host, 100 at once: ${(100_000 / hundred.median).toFixed(0)} per second`);
  judge("100 at once in ms", hundred.median, {
    goal: "<= 100",
    met: hundred.median <= 100,
    budgetMet: hundred.median <= 1000,
  });
  console.log(`100 at once cost as much as ${(hundred.median / single.median).toFixed(1)} single ones`);

  for (const [what, run, atOnce, each] of [
    ["each 20, one after the other", "turns", false, 20],
    ["each 40 at once", "burst", true, 40],
  ] as const) {
    let got: readonly string[] = [];
    const tookMs = await timedMs(async () => {
      got = (await Promise.all(hosts.map((host) => take(host, each, atOnce, run)))).flat();
    });
    mustDiffer(got, each * hostCount);
    console.log(
      `${hostCount} hosts, ${what}: ${((got.length * 1000) / tookMs).toFixed(0)} per second (${tookMs.toFixed(0)} ms)`,
    );
  }
  for (const one of stores) await one[Symbol.asyncDispose]();
}

printMachine();
for (const kind of ["embedded", "etcd"] as const) await measure(kind);
process.exit(process.exitCode ?? 0);
