/** The upkeep of the address plan runs by itself, says what it waits for, counts what it repaired, and ends. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIpAddress } from "../base/addresses.ts";
import { systemClock, TestClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { handleKey } from "../model/keys.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import { AddressUpkeep } from "./address-upkeep.ts";
import { NodeApi } from "./node-api.ts";
import { NodeMetrics } from "./node-metrics.ts";

test("a count that belongs to no address is taken away after the grace period, seen in status and metrics", async () => {
  const directory = mkdtempSync(join(tmpdir(), "margay-upkeep-"));
  const socket = join(directory, "node.sock");
  try {
    const clock = new TestClock();
    await using store = await openSqliteStore({ path: ":memory:", clock });
    await using api = NodeApi.listen(socket);
    const host = { name: "host1", address: parseIpAddress("172.31.0.11") };
    const agent = { host, api, metrics: new NodeMetrics(), view: { locked: false } };
    await store.put(handleKey("left"), '{"block":{"10.0.0.0/26":2},"deleted":false}');
    const status = async () => {
      const answer = await fetch("http://node/v1/status", { unix: socket });
      return ((await answer.json()) as { ipam: { waiting: string[]; lastError: string | null } }).ipam;
    };
    {
      await using _upkeep = AddressUpkeep.start({ agent, store, graceMs: 1_000, clock, log: silentLog });
      expect((await status()).waiting).toEqual([]);
      await clock.advance(1_000);
      await until(async () => (await status()).waiting.length === 1);
      expect(await store.get(handleKey("left"))).toBeDefined();
      await until(async () => {
        await clock.advance(1_000);
        return (await store.get(handleKey("left"))) === undefined;
      });
    }
    expect(await agent.metrics.registry.getSingleMetricAsString("margay_ipam_repairs_total")).toContain(
      'margay_ipam_repairs_total{kind="recount-handle"} 1',
    );
    expect(await status()).toMatchObject({ lastError: null });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  const untilMs = systemClock.monotonicMs() + 5_000;
  while (!(await holds())) {
    expect(systemClock.monotonicMs()).toBeLessThan(untilMs);
    await systemClock.sleep(1);
  }
}
