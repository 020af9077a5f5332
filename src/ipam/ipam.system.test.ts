/** IPAM on both real stores, over the wire: etcd's limits on transactions are kept, and two processes' worth of requests. */

import { expect, test } from "bun:test";
import { parseCidr } from "../base/addresses.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { newIpPool } from "../model/ip-pool.ts";
import { ipPoolKey, nodeKey } from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { encode } from "../model/resource.ts";
import { connectEtcd } from "../store/etcd-client.ts";
import type { Store } from "../store/store.ts";
import { StoreProcess } from "../store/testing/store-process.ts";
import { Ipam } from "./ipam.ts";
import { checkPlan, type Held, mendPlan } from "./testing/plan-checks.ts";
import { StepwiseWriter } from "./testing/stepwise-writer.ts";

const stamp = { uid: "u", nowMs: 0 };

for (const kind of ["etcd", "margay"] as const) {
  test(`on ${kind}: 400 containers of two hosts come and go without an address lost or doubled`, async () => {
    await using server = await (kind === "etcd" ? StoreProcess.startEtcd() : StoreProcess.startMargay());
    const connect = () => connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
    await using storeOfFirst = await connect();
    await using storeOfSecond = await connect();
    const pool = newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/22") }, stamp);
    await storeOfFirst.put(ipPoolKey("p"), encode(pool));
    const hosts = [
      { name: "host1", ipam: new Ipam({ store: storeOfFirst, clock: systemClock }) },
      { name: "host2", ipam: new Ipam({ store: storeOfSecond, clock: systemClock }) },
    ];
    for (const { name } of hosts) await storeOfFirst.put(nodeKey(name), encode(newNode({ name }, stamp)));
    const containers = hosts.flatMap(({ name, ipam }) =>
      Array.from({ length: 200 }, (_, at) => ({ name, ipam, id: `${name}.${at}` })),
    );

    const addresses = await Promise.all(containers.map(({ name, ipam }) => ipam.setAside({ host: name, family: 4 })));
    expect(new Set(addresses).size).toBe(400);
    await Promise.all(
      containers.map(({ name, ipam, id }, at) =>
        ipam.assignThese({
          host: name,
          addresses: addresses.slice(at, at + 1),
          handle: id,
          also: () => [{ put: `/test/endpoint/${id}`, value: addresses[at] ?? "" }],
          require: [{ key: `/test/endpoint/${id}`, modRevision: 0 }],
        }),
      ),
    );
    expect((await storeOfFirst.list("/test/endpoint/")).kvs).toHaveLength(400);
    const held = await Promise.all(hosts.map(({ name, ipam }) => ipam.listOwn(name)));
    expect(held.map((own) => own.length)).toEqual([200, 200]);
    await Promise.all(
      containers.map(({ ipam, id }) => ipam.releaseByHandle(id, { also: () => [{ delete: `/test/endpoint/${id}` }] })),
    );
    for (const { name, ipam } of hosts) expect(await ipam.listOwn(name)).toEqual([]);
    for (const prefix of ["/test/", "/calico/ipam/v2/handle/"]) {
      expect((await storeOfFirst.list(prefix)).kvs).toEqual([]);
    }
  }, 60_000);
}

for (const kind of ["etcd", "margay"] as const) {
  for (const family of [4, 6] as const) {
    test(`on ${kind}: allocators and stepwise writers die anywhere and the IPv${family} plan stays whole`, async () => {
      await using server = await (kind === "etcd" ? StoreProcess.startEtcd() : StoreProcess.startMargay());
      await using store = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
      const [cidr, blockSize] = family === 4 ? ["10.0.0.0/27", 29] : ["fd00::/123", 125];
      await store.put(ipPoolKey("p"), encode(newIpPool({ name: "p", cidr: parseCidr(cidr), blockSize }, stamp)));
      const hosts = ["host0", "host1", "host2"];
      for (const name of hosts) await store.put(nodeKey(name), encode(newNode({ name }, stamp)));
      const held: Held = new Map();
      await Promise.all(
        Array.from({ length: 12 }, async (_, at) => {
          const host = hosts[at % hosts.length] ?? "";
          for (let life = 0; life < 4; life++) {
            let requests = 5 + ((at * 7 + life * 13) % 31);
            const turn = async () => {
              if (requests-- <= 0) throw new Died();
            };
            try {
              for (let number = 0; ; number++) {
                const handle = `${at}.${life}.${number}`;
                await (at % 2 === 0 ? liveStepwise : liveAsOurs)({ store, host, family, turn, held, handle, number });
              }
            } catch (error) {
              if (!(error instanceof Died)) throw error;
            }
          }
        }),
      );
      await checkPlan(store, held);
      await mendPlan(store, new Ipam({ store, clock: systemClock }), { hosts, family, held, clock: systemClock });
    }, 60_000);
  }
}

class Died extends Error {}

interface Life {
  readonly store: Store;
  readonly host: string;
  readonly family: 4 | 6;
  readonly turn: () => Promise<void>;
  readonly held: Held;
  readonly handle: string;
  readonly number: number;
}

/** Every other time gives back what it has taken. */
async function liveStepwise({ store, host, family, turn, held, handle, number }: Life): Promise<void> {
  const writer = new StepwiseWriter({ store, clock: systemClock, host, family, turn });
  const addresses = await writer.autoAssign(1 + (number % 2), handle);
  if (number % 2 === 0) await writer.releaseByHandle(handle);
  else held.set(handle, addresses);
  if (number % 5 === 4) await writer.releaseAffinities(true);
}

async function liveAsOurs({ store, host, family, turn, held, handle, number }: Life): Promise<void> {
  const failing: Store = Object.create(store, {
    transact: {
      value: async (...given: Parameters<Store["transact"]>) => {
        await turn();
        const outcome = await store.transact(...given);
        await turn(); // it took effect, and nobody has heard of it
        return outcome;
      },
    },
  });
  const ipam = new Ipam({ store: failing, clock: systemClock });
  const { addresses } = await ipam.assignAddresses({ host, family, handle, count: 1 + (number % 2) });
  if (number % 2 === 0) await ipam.releaseByHandle(handle);
  else if (addresses.length > 0) held.set(handle, addresses);
}
