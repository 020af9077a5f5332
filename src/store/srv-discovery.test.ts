/** etcd by SRV records: which of them count, and in which order. */

import { expect, test } from "bun:test";
import { discoverEndpoints, type SrvRecord } from "./srv-discovery.ts";

const record = (name: string, port: number, priority = 0, weight = 0): SrvRecord => ({ name, port, priority, weight });

function dns(zone: Readonly<Record<string, readonly SrvRecord[]>>) {
  const asked: string[] = [];
  const resolveSrv = async (name: string) => {
    asked.push(name);
    const found = zone[name];
    if (found === undefined) throw new Error("ENOTFOUND");
    return found;
  };
  return { asked, resolveSrv };
}

const plain = "_etcd-client._tcp.example.org";
const tls = "_etcd-client-ssl._tcp.example.org";

test("members are asked by priority, then weight; a dot at the end of a name is none of it", async () => {
  const records = [record("c.example.org.", 2381, 20), record("a.example.org", 2379, 10, 1), record("b", 2380, 10, 9)];
  const { asked, resolveSrv } = dns({ [plain]: records });
  expect(await discoverEndpoints("example.org", { needsTls: false, resolveSrv })).toEqual([
    "http://b:2380",
    "http://a.example.org:2379",
    "http://c.example.org:2381",
  ]);
  expect(asked).toEqual([tls, plain]);
});

test("where members with TLS are named, no others are asked", async () => {
  const { resolveSrv } = dns({ [plain]: [record("a", 1)], [tls]: [record("b", 2)] });
  expect(await discoverEndpoints("example.org", { needsTls: false, resolveSrv })).toEqual(["https://b:2"]);
});

test("who has certificates does not go without TLS", async () => {
  const { asked, resolveSrv } = dns({ [plain]: [record("a", 1)] });
  const found = discoverEndpoints("example.org", { needsTls: true, resolveSrv });
  await expect(found).rejects.toThrow(`DNS names no etcd: ${tls}: ENOTFOUND`);
  expect(asked).toEqual([tls]);
});

test("no records, and no answer, say for which names", async () => {
  const { resolveSrv } = dns({ [tls]: [] });
  await expect(discoverEndpoints("example.org", { needsTls: false, resolveSrv })).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: `DNS names no etcd: ${tls}: no records; ${plain}: ENOTFOUND`,
  });
});
