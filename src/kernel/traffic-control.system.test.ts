/** Bandwidth on the real kernel, and that the network in memory answers alike. */
import { expect, test } from "bun:test";
import { LinuxHostNetwork } from "./host-network.ts";
import { FakeNetwork } from "./testing/fake-network.ts";
import { interfaceNamed, TestNamespace } from "./testing/test-namespaces.ts";
import type { TokenBucket } from "./traffic-control.ts";

const bucket: TokenBucket = { bytesPerSecond: 125_000, burstBytes: 10_000, queueBytes: 50_000 };

test("bandwidth: the kernel and the fake tell the same of what was made, and it goes with its interface", () => {
  using namespace = new TestNamespace("contract", { enter: true });
  using real = LinuxHostNetwork.open({ routeProtocol: 109, table: "margay" });
  for (const [kind, network] of [
    ["kernel", real],
    ["fake", new FakeNetwork()],
  ] as const) {
    const { shaping } = network;
    network.createVeth({ name: interfaceNamed("cali1"), peerName: interfaceNamed("temp1") });
    shaping.createIfb(interfaceNamed("device1"), "ours");
    expect([kind, network.links().find(({ name }) => name === "device1")]).toMatchObject([
      kind,
      { kind: "ifb", alias: "ours", up: false },
    ]);
    const [link = -1, device = -1] = ["cali1", "device1"].map(
      (name) => network.links().find((one) => one.name === name)?.index ?? -1,
    );
    const ours = () =>
      shaping
        .qdiscs()
        .filter(({ interfaceIndex, kind }) => interfaceIndex === link && kind !== "noqueue")
        .map(({ kind, handle, isRoot }) => ({ kind, handle, isRoot }));
    expect([kind, ours()]).toEqual([kind, []]);
    shaping.setTokenBucket(link, bucket, 0x6001);
    // Another one takes its place.
    shaping.setTokenBucket(link, { ...bucket, bytesPerSecond: 5e12 }, 0x6002);
    expect([kind, shaping.redirectionOf(link)]).toEqual([kind, undefined]);
    shaping.redirectIncoming({ fromIndex: link, toIndex: device });
    shaping.redirectIncoming({ fromIndex: link, toIndex: device });
    expect([kind, ours()]).toEqual([
      kind,
      [
        { kind: "tbf", handle: 0x6002, isRoot: true },
        { kind: "ingress", handle: 0xffff, isRoot: false },
      ],
    ]);
    expect([kind, shaping.redirectionOf(link)]).toEqual([kind, device]);
    if (kind === "kernel") expect(namespace.must("tc", "qdisc", "show", "dev", "cali1")).toContain("rate 40Tbit");
    const removals = [shaping.removeTokenBucket(link), shaping.removeTokenBucket(link)];
    removals.push(shaping.stopRedirecting(link), shaping.stopRedirecting(link));
    expect([kind, removals]).toEqual([kind, [true, false, true, false]]);
    expect([kind, ours()]).toEqual([kind, []]);
    shaping.setTokenBucket(link, bucket, 0x6001);
    network.deleteLink("cali1");
    expect([kind, shaping.qdiscs().filter(({ kind }) => kind === "tbf")]).toEqual([kind, []]);
  }
});
