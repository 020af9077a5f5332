/** The node's ports: what is answered where, and what happens when the configuration moves them. */
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { TestClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { agentSettings } from "./agent-settings.ts";
import { HealthBoard } from "./health-board.ts";
import { NodeMetrics } from "./node-metrics.ts";
import { NodeServers } from "./node-servers.ts";

const loopback = "127.0.0.1";

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, loopback, resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function settings(health: number | undefined, metrics: number | undefined) {
  return agentSettings({
    healthEnabled: health !== undefined,
    ...(health === undefined ? {} : { healthPort: health }),
    prometheusMetricsEnabled: metrics !== undefined,
    prometheusMetricsHost: loopback,
    ...(metrics === undefined ? {} : { prometheusMetricsPort: metrics }),
  });
}

async function status(port: number, path: string): Promise<number | undefined> {
  return fetch(`http://${loopback}:${port}${path}`).then(
    (answer) => answer.status,
    () => undefined,
  );
}

test("56, 57: health and metrics have ports of their own, and nothing else is answered on them", async () => {
  const [health = 0, metrics = 0, other = 0] = await freePorts(3);
  const board = new HealthBoard(new TestClock());
  board.register("Dataplane", { detail: "waiting" });
  const nodeMetrics = new NodeMetrics();
  await using servers = new NodeServers({ board, metrics: nodeMetrics, log: silentLog });
  await servers.start(settings(health, metrics));
  expect([await status(health, "/liveness"), await status(health, "/readiness")]).toEqual([200, 503]);
  board.report("Dataplane", { ready: true });
  expect([await status(health, "/readiness"), await status(health, "/metrics")]).toEqual([200, 200]);
  expect([await status(metrics, "/metrics"), await status(metrics, "/readiness")]).toEqual([200, 404]);
  expect(await status(metrics, "/debug/pprof")).toBe(404);
  const page = async () => (await fetch(`http://${loopback}:${metrics}/metrics`)).text();
  expect(await page()).toContain("process_cpu_user_seconds_total");
  nodeMetrics.processMetrics = false;
  expect(await page()).not.toContain("process_cpu_user_seconds_total");
  await servers.follow(settings(other, undefined));
  expect([await status(other, "/liveness"), await status(health, "/liveness")]).toEqual([200, undefined]);
  expect(await status(metrics, "/metrics")).toBeUndefined();
  await servers.follow(settings(undefined, undefined));
  expect(await status(other, "/liveness")).toBeUndefined();
});

test("a port that somebody else has refuses the start; later the server stays where it was", async () => {
  const [health = 0] = await freePorts(1);
  using taken = Bun.serve({ hostname: loopback, port: 0, fetch: () => new Response("theirs") });
  const board = new HealthBoard(new TestClock());
  await using servers = new NodeServers({ board, metrics: new NodeMetrics(), log: silentLog });
  const starting = servers.start(settings(taken.port, undefined));
  await expect(starting).rejects.toThrow(`health cannot listen on ${loopback}:${taken.port}`);
  await servers.start(settings(health, undefined));
  await servers.follow(settings(taken.port, undefined));
  expect(await status(health, "/liveness")).toBe(200);
});
