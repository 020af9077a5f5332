/** A followed prefix on real servers that are killed and compacted under it. */
import { expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { connectEtcd } from "./etcd-client.ts";
import type { KeyValue } from "./store.ts";
import { StoreProcess } from "./testing/store-process.ts";
import { WatchedPrefix } from "./watched-prefix.ts";

for (const [name, start] of [
  ["margay store", () => StoreProcess.startMargay()],
  ["etcd", () => StoreProcess.startEtcd()],
] as const) {
  test(`a prefix on ${name} is followed through kills and compactions`, async () => {
    await using server = await start();
    await using writer = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
    await using reader = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
    const holds = new Map<string, KeyValue>();
    let inSyncs = 0;
    const abort = new AbortController();
    const watched = new WatchedPrefix({
      store: reader,
      prefix: "/p/",
      clock: systemClock,
      log: silentLog,
      onChange(key, value) {
        if (value === undefined) expect(holds.delete(key)).toBe(true);
        else {
          expect(holds.get(key)?.modRevision).not.toBe(value.modRevision);
          holds.set(key, value);
        }
      },
      onInSync: () => void inSyncs++,
    });
    const running = watched.run(abort.signal);
    const settled = () =>
      waitUntil(async () => {
        const { kvs } = await writer.list("/p/");
        return kvs.length === holds.size && kvs.every((kv) => holds.get(kv.key)?.modRevision === kv.modRevision);
      });
    const churn = async (round: number) => {
      for (let index = 0; index < 50; index++) await writer.put(`/p/${index}`, `${round}`);
      for (let index = 0; index < 50; index += 3) await writer.delete(`/p/${(index + round) % 50}`);
    };

    await waitUntil(async () => inSyncs === 1);
    await churn(0);
    await settled();
    for (let round = 1; round <= 2; round++) {
      await server.kill();
      await server.start();
      await churn(round);
      const { revision } = await writer.list("/p/");
      await server.etcdctl("compact", String(revision));
      await settled();
    }
    abort.abort();
    await running;
  }, 60_000);
}

async function waitUntil(condition: () => Promise<boolean>): Promise<void> {
  const timeout = AbortSignal.timeout(20_000);
  while (!(await condition())) {
    if (timeout.aborted) throw new Error("waited 20 s in vain");
    await Bun.sleep(20);
  }
}
