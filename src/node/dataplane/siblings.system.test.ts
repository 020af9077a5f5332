/** A container on two networks, on the real kernel: it has two interfaces and one default route. */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import { packetOf, parseTraffic } from "../../policy/explain/packet.ts";
import { askLocalKernel } from "../explain/local-kernel.ts";
import type { Dataplane } from "./dataplane.ts";
import { connectsTcp, endpointOf, fromSet, pings, rule, serveTcp, TestHost } from "./testing/containers.ts";

const first = "10.65.0.1";
const second = "10.65.0.2";
const member = "10.65.0.3";
const stranger = "10.65.0.4";
const timeoutMs = 30_000;

/** Both records name both networks and the other's address, as plugins/docker writes them. */
function describe(dataplane: Dataplane, related: boolean): void {
  const profiles = (own: string) => (related ? ["profile/net1", "profile/net2"] : [own]);
  const siblings = (...addresses: string[]) => (related ? addresses.map((text) => parseIpAddress(text)) : []);
  dataplane.addressSet("s-net1", new Set([first, ...(related ? [second] : [])].map((text) => parseCidr(text))));
  dataplane.addressSet("s-net2", new Set([second, member, ...(related ? [first] : [])].map((text) => parseCidr(text))));
  for (const net of ["net1", "net2"])
    dataplane.ruleList(`profile/${net}`, { inbound: [rule("allow", fromSet(`s-${net}`))], outbound: [rule("allow")] });
  dataplane.endpoint("/test/a", {
    ...endpointOf("a", first, profiles("profile/net1")),
    siblingAddresses: siblings(second),
  });
  dataplane.endpoint("/test/b", {
    ...endpointOf("b", second, profiles("profile/net2")),
    siblingAddresses: siblings(first),
    gatewayAddresses: siblings(first),
  });
  dataplane.endpoint("/test/m", endpointOf("m", member, ["profile/net2"]));
  dataplane.endpoint("/test/s", endpointOf("s", stranger, ["profile/net3"]));
  dataplane.ruleList("profile/net3", { inbound: [], outbound: [rule("allow")] });
}

/** Asks a server that listens on all addresses, and takes only an answer from the one it asked. */
async function answersUdp(from: TestNamespace, to: TestNamespace, address: string, port: number): Promise<boolean> {
  const server = to.start("nc", "-u", "-l", String(port));
  const { stdin } = server;
  if (stdin === undefined || typeof stdin === "number") throw new Error("the server has an input");
  stdin.write("answer\n");
  stdin.flush();
  await eventually(`udp ${port} listens`, () => to.must("ss", "-Hlun", `sport = :${port}`).trim() !== "");
  const asked = from.run(["nc", "-u", "-w", "1", address, String(port)], { stdin: "hello\n", timeoutMs: 5_000 });
  server.kill("SIGKILL");
  return asked.stdout.includes("answer");
}

test(
  "29: a container on two networks is reached at both addresses by TCP, UDP and ICMP, and reaches the members of both",
  async () => {
    await using host = new TestHost("sib");
    await using dataplane = await host.open();
    describe(dataplane, true);
    dataplane.setInSync();
    await dataplane.apply();
    const both = await host.container(dataplane, "a", first);
    await dataplane.createVeth({ hostName: "calib", containerName: "tempb" });
    host.namespace.must("ip", "link", "set", "tempb", "netns", both.name);
    both.must("ip", "link", "set", "tempb", "name", "eth1");
    both.must("ip", "addr", "add", `${second}/32`, "dev", "eth1");
    both.must("ip", "link", "set", "eth1", "up");
    both.must("ip", "route", "add", "169.254.1.2", "dev", "eth1", "scope", "link");
    const m = await host.container(dataplane, "m", member);
    const s = await host.container(dataplane, "s", stranger);
    await dataplane.apply();
    await serveTcp(both, 80);
    await serveTcp(m, 80);
    for (const [at, address] of [first, second].entries()) {
      expect([address, pings(m, address), connectsTcp(m, address, 80)]).toEqual([address, true, true]);
      expect([address, await answersUdp(m, both, address, 1000 + at)]).toEqual([address, true]);
      expect([address, pings(s, address), connectsTcp(s, address, 80)]).toEqual([address, false, false]);
      expect([address, await answersUdp(s, both, address, 1010 + at)]).toEqual([address, false]);
      expect([address, pings(both, member, { source: address })]).toEqual([address, true]);
    }
    expect(connectsTcp(both, member, 80)).toBe(true);
    // `margay explain` follows the translation in the kernel's own listing.
    const packet = packetOf(parseIpAddress(member), parseIpAddress(second), parseTraffic("udp/53", ""), 50_000);
    const [from, to] = [{ interfaceName: "calim" }, { interfaceName: "calib" }];
    const { verdict, hooks, faults } = askLocalKernel("host1", { packet, from, to });
    expect([verdict, faults]).toEqual(["allow", []]);
    expect(hooks.flatMap(({ steps }) => steps.map(({ did }) => did))).toContain(`destination becomes ${first}`);
    // A third address is as forged as ever.
    both.must("ip", "addr", "add", `${stranger}/32`, "dev", "lo");
    expect(pings(both, member, { source: stranger })).toBe(false);

    // It is not related any more: the second address is nothing to the first interface, and no translation is left.
    describe(dataplane, false);
    await dataplane.apply();
    expect(pings(both, member, { source: second })).toBe(false);
    expect(pings(both, member)).toBe(false);
    expect(host.namespace.must("nft", "list", "table", "inet", "margay")).not.toContain("dnat");
  },
  timeoutMs,
);
