/** Limits of endpoints' traffic on the real kernel. Number: felix-dataplane.md section 9. */
import { expect, test } from "bun:test";
import { systemClock } from "../../base/clock.ts";
import { eventually, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { EndpointLimits } from "../../policy/enforcement.ts";
import type { Dataplane } from "./dataplane.ts";
import {
  connectsTcp,
  describeOpenPair,
  endpointOf,
  hostAddress,
  openConnection,
  pairAddresses,
  pings,
  serveEcho,
  serveTcp,
  TestHost,
} from "./testing/containers.ts";

const { a: web, b: client } = pairAddresses;
const timeoutMs = 60_000;

async function limit(dataplane: Dataplane, limits: EndpointLimits | undefined): Promise<void> {
  dataplane.endpoint("/test/a", { ...endpointOf("a", web, ["profile/open"]), ...(limits && { limits }) });
  await dataplane.apply();
}

test(
  "49: more packets than the rate are dropped, to and from an endpoint, also of an open connection; nobody else's",
  async () => {
    await using host = new TestHost("qos");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    const answered = (from: TestNamespace, to: string) =>
      Number(/(\d+) received/.exec(from.run(["ping", "-n", "-c", "20", "-i", "0.02", "-W", "0.3", to]).stdout)?.[1]);
    expect(answered(b, web)).toBe(20);
    const packets = { perSecond: 1, burst: 5 };
    await limit(dataplane, { inbound: { packets } });
    // The first five, and perhaps some of the seconds that it takes.
    const some = (count: number) => count >= 5 && count < 15;
    expect(some(answered(b, web))).toBe(true);
    // What the host sends is not limited, nor what the endpoint sends, to whom it may be.
    expect(answered(host.namespace, web)).toBe(20);
    expect(answered(a, hostAddress)).toBe(20);
    await limit(dataplane, { outbound: { packets } });
    expect(some(answered(a, hostAddress))).toBe(true);
    await eventually("the limit lets something pass again", () => pings(a, client));
    expect(answered(a, client) < 15).toBe(true);
    expect(answered(b, "172.31.0.99")).toBe(20);
    await limit(dataplane, undefined);
    expect(answered(b, web)).toBe(20);
    expect(host.namespace.must("nft", "list", "table", "inet", "margay")).not.toContain("limits-");
  },
  timeoutMs,
);

test(
  "49: one connection too many is refused with a reset, and there is room again when one ends",
  async () => {
    await using host = new TestHost("qos");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    await serveEcho(a, 80);
    await serveTcp(b, 81);
    await limit(dataplane, { inbound: { connections: 2 }, outbound: { connections: 1 } });
    const first = b.start("nc", web, "80");
    const open = () => b.must("ss", "-Htn", "state", "established", "dport = :80").trim().split("\n").length;
    await eventually("one is open", () => open() === 1);
    const second = openConnection(b, web, 80);
    expect(await second.talks()).toBe(true);
    const third = b.run(["nc", "-v", "-w", "2", web, "80"]);
    expect(third.stderr).toContain("refused");
    expect(await second.talks()).toBe(true);
    // Another protocol has no connections to count; and its own direction counts for itself.
    expect(pings(b, web)).toBe(true);
    expect(connectsTcp(a, client, 81)).toBe(true);
    first.kill("SIGKILL");
    await first.exited;
    await eventually("a third is let in", async () => {
      const connection = b.run(["nc", "-N", "-w", "1", web, "80"], { stdin: "hello\n" });
      return connection.stdout.includes("hello");
    });
    expect(await second.talks()).toBe(true);
  },
  timeoutMs,
);

/** Seconds until all of it has arrived. */
async function secondsFor(bytes: number, from: TestNamespace, to: TestNamespace, address: string): Promise<number> {
  const port = "90";
  to.start("sh", "-c", `nc -l ${port} > /dev/null`);
  await eventually("the receiver listens", () => to.must("ss", "-Hltn", `sport = :${port}`).trim() !== "");
  const startMs = systemClock.monotonicMs();
  from.must("sh", "-c", `head -c ${bytes} /dev/zero | nc -N ${address} ${port}`);
  return (systemClock.monotonicMs() - startMs) / 1_000;
}

test(
  "49: bandwidth is limited in each direction for itself, after a restart too, and is repaired; without a limit nothing is left",
  async () => {
    await using host = new TestHost("qos");
    let attention = 0;
    await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    const { a, b } = await host.openPair(dataplane);
    const bandwidth = { bitsPerSecond: 8_000_000, burstBits: 400_000 };
    const bytes = 600_000;
    // A bucket cannot let pass more than it holds and what drips into it.
    const leastSeconds = (bytes - 50_000) / 1_000_000;
    await limit(dataplane, { inbound: { bandwidth } });
    expect(await secondsFor(bytes, b, a, web)).toBeGreaterThan(leastSeconds);
    expect(await secondsFor(bytes, a, b, client)).toBeLessThan(leastSeconds);
    await limit(dataplane, { inbound: { bandwidth }, outbound: { bandwidth } });
    expect(dataplane.standing.bandwidthProblems.size).toBe(0);
    expect(await secondsFor(bytes, a, b, client)).toBeGreaterThan(leastSeconds);
    expect(await secondsFor(bytes, a, host.namespace, hostAddress)).toBeGreaterThan(leastSeconds);
    expect(await secondsFor(bytes, b, host.outside, "172.31.0.99")).toBeLessThan(leastSeconds);
    // Policy sees the sender as ever: its own address, its own interface.
    expect(pings(a, client)).toBe(true);

    const device = () => /(mgb[0-9a-f]{12})/.exec(host.namespace.must("ip", "-o", "link"))?.[1] ?? "none";
    const sent = () => host.namespace.must("tc", "-s", "qdisc", "show", "dev", device());
    const before = sent();
    await dataplane.close();
    await using second = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    describeOpenPair(second);
    second.endpoint("/test/a", {
      ...endpointOf("a", web, ["profile/open"]),
      limits: { inbound: { bandwidth }, outbound: { bandwidth } },
    });
    await second.apply();
    second.setInSync();
    await second.apply();
    expect(sent()).toBe(before);
    attention = 0;
    host.namespace.must("ip", "link", "del", device());
    await eventually("the loss is noticed", () => attention > 0);
    await second.apply();
    expect(await secondsFor(bytes, a, b, client)).toBeGreaterThan(leastSeconds);
    host.namespace.must("tc", "qdisc", "del", "dev", "calia", "root");
    await limit(second, { inbound: { bandwidth: { ...bandwidth, peakBitsPerSecond: 16_000_000 } } });
    expect(host.namespace.must("tc", "qdisc", "show", "dev", "calia")).toContain("peakrate 16Mbit");
    expect(device()).toBe("none");
    await limit(second, { inbound: { bandwidth: { ...bandwidth, peakBitsPerSecond: 8_000_000 } } });
    expect([...second.standing.bandwidthProblems]).toEqual([
      ["calia", expect.stringContaining("cannot limit bandwidth")],
    ]);
    await limit(second, { outbound: { bandwidth } });
    await limit(second, undefined);
    expect(second.standing.bandwidthProblems.size).toBe(0);
    expect(host.namespace.must("tc", "qdisc")).not.toMatch(/tbf|ingress/);
    expect(device()).toBe("none");
    await limit(second, { outbound: { bandwidth } });
    await second.removeEverything();
    expect(device()).toBe("none");
  },
  timeoutMs,
);
