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
import { StoreProcess } from "../store/testing/store-process.ts";
import { Ipam } from "./ipam.ts";

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

    const addresses = await Promise.all(
      containers.map(({ name, ipam }) =>
        ipam.assignAddress({ host: name, family: 4, handle: (address) => `pending-${address}` }),
      ),
    );
    expect(new Set(addresses).size).toBe(400);
    await Promise.all(
      containers.map(({ ipam, id }, at) =>
        ipam.moveHandle({
          from: [`pending-${addresses[at]}`],
          to: id,
          also: ([address]) => [{ put: `/test/endpoint/${id}`, value: address ?? "" }],
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
