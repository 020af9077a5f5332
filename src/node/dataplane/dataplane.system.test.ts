/** The dataplane on the real kernel: a host namespace, containers, real packets. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { connectsTcp, endpointOf, fromSet, pings, reachesUdp, rule, serveTcp, TestHost } from "./testing/containers.ts";

const web = "10.65.0.1";
const member = "10.65.0.2";
const stranger = "10.65.0.3";

test("members of a network reach each other and strangers reach neither, in TCP, UDP and ICMP", async () => {
  await using host = new TestHost("dp");
  await using dataplane = await host.open();
  dataplane.addressSet("s-net", new Set([parseCidr(web), parseCidr(member)]));
  dataplane.addressSet("s-other", new Set([parseCidr(stranger)]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
  dataplane.ruleList("profile/other", { inbound: [rule("allow", fromSet("s-other"))], outbound: [rule("allow")] });
  dataplane.natPools([{ cidr: parseCidr("10.65.0.0/16"), natOutgoing: true }]);
  dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
  dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/net"]));
  dataplane.endpoint("/test/b", endpointOf("b", member, ["profile/net"]));
  dataplane.endpoint("/test/c", endpointOf("c", stranger, ["profile/other"]));
  dataplane.setInSync();
  await dataplane.apply();
  const a = await host.container(dataplane, "a", web);
  const b = await host.container(dataplane, "b", member);
  const c = await host.container(dataplane, "c", stranger);
  await dataplane.apply();
  await serveTcp(a, 80);
  expect(pings(b, web)).toBe(true);
  expect(connectsTcp(b, web, 80)).toBe(true);
  expect(await reachesUdp(b, a, web, 53)).toBe(true);
  expect(pings(c, web)).toBe(false);
  expect(connectsTcp(c, web, 80)).toBe(false);
  expect(await reachesUdp(c, a, web, 54)).toBe(false);
  expect(pings(a, stranger)).toBe(false);
  expect(pings(host.namespace, web)).toBe(true);
  expect(pings(a, "172.31.0.11")).toBe(true);
  expect(pings(a, "172.31.0.99")).toBe(true);
}, 30_000);
