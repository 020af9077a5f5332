/** Settings and routes of endpoints' interfaces, ours and those of others. Numbers: felix-dataplane.md section 9. */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import { eventually } from "../../kernel/testing/test-namespaces.ts";
import { defaultSettings } from "./default-settings.ts";
import { endpointOf, hostAddress, pings, rule, serveTcp, TestHost } from "./testing/containers.ts";

const web = "10.65.0.1";
const timeoutMs = 40_000;

test(
  "1, 6: an interface gets its settings, and the rp_filter that the host has by default; with foreign sources none",
  async () => {
    await using host = new TestHost("ir");
    const setting = (path: string) => host.namespace.must("cat", `/proc/sys/net/${path}`).trim();
    for (const strictness of ["2", "1"]) {
      host.namespace.must("sh", "-c", `echo ${strictness} > /proc/sys/net/ipv4/conf/default/rp_filter`);
      await using dataplane = await host.open();
      const name = `s${strictness}`;
      const endpoint = endpointOf(name, "10.65.0.4", []);
      dataplane.setInSync();
      dataplane.endpoint(endpoint.key, {
        ...endpoint,
        addresses: [parseIpAddress("10.65.0.4"), parseIpAddress("fd65::4")],
      });
      await dataplane.createVeth({ hostName: `cali${name}`, containerName: `temp${name}` });
      await dataplane.apply();
      expect(setting(`ipv4/conf/cali${name}/rp_filter`)).toBe(strictness);
      for (const [path, value] of [
        [`ipv4/conf/cali${name}/proxy_arp`, "1"],
        [`ipv4/conf/cali${name}/forwarding`, "1"],
        [`ipv4/neigh/cali${name}/proxy_delay`, "0"],
        [`ipv6/conf/cali${name}/disable_ipv6`, "0"],
        [`ipv6/conf/cali${name}/accept_ra`, "0"],
        [`ipv6/conf/cali${name}/proxy_ndp`, "1"],
        [`ipv6/conf/cali${name}/forwarding`, "1"],
        ["ipv4/ip_forward", "1"],
        ["ipv6/conf/all/forwarding", "1"],
      ] as const)
        expect([path, setting(path)]).toEqual([path, value]);
      expect(dataplane.standing.problemOf(endpoint.key)).toBeUndefined();
      dataplane.endpoint(endpoint.key, { ...endpoint, allowedSources: [parseCidr("192.0.2.0/24")] });
      await dataplane.apply();
      expect(setting(`ipv4/conf/cali${name}/rp_filter`)).toBe("0");
      dataplane.endpoint(endpoint.key, endpoint);
      await dataplane.apply();
      expect(setting(`ipv4/conf/cali${name}/rp_filter`)).toBe(strictness);
      dataplane.endpoint(endpoint.key, undefined);
      await dataplane.apply();
    }
  },
  timeoutMs,
);

test(
  "an interface comes up without IPv6 and gets it with the first such address, of its own or another it may send from",
  async () => {
    await using host = new TestHost("ir");
    await using dataplane = await host.open();
    dataplane.setInSync();
    const alone = endpointOf("a", web, []);
    const kernel = () => {
      const setting = host.namespace.must("cat", "/proc/sys/net/ipv6/conf/calia/disable_ipv6").trim();
      const routes = host.namespace.must("ip", "-6", "route", "show", "table", "all", "dev", "calia");
      return { setting, hasRoutes: routes !== "" };
    };
    for (const more of [
      { addresses: [...alone.addresses, parseIpAddress("fd65::1")] },
      { allowedSources: [parseCidr("fd66::/64")] },
      { siblingAddresses: [parseIpAddress("fd65::2")] },
    ]) {
      // Nobody's at first, then of an endpoint that has IPv4 only.
      await host.container(dataplane, "a", web);
      expect(kernel()).toEqual({ setting: "1", hasRoutes: false });
      dataplane.endpoint("/test/a", { ...alone, allowedSources: [parseCidr("192.0.2.0/24")] });
      await dataplane.apply();
      expect(kernel()).toEqual({ setting: "1", hasRoutes: false });
      dataplane.endpoint("/test/a", { ...alone, ...more });
      await dataplane.apply();
      expect(kernel()).toEqual({ setting: "0", hasRoutes: true });
      // And at once where it is known before.
      await dataplane.removeVeth("calia");
      await host.container(dataplane, "a", web);
      expect(kernel()).toEqual({ setting: "0", hasRoutes: true });
      await dataplane.removeVeth("calia");
      dataplane.endpoint("/test/a", undefined);
      await dataplane.apply();
    }
  },
  timeoutMs,
);

test(
  "13: a foreign route to an endpoint's interface is removed; where they are permitted, Calico's strays are all the same",
  async () => {
    await using host = new TestHost("ir");
    let attention = 0;
    await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
    const ipv4Only = endpointOf("a", web, ["profile/open"]);
    const endpoint = { ...ipv4Only, addresses: [...ipv4Only.addresses, parseIpAddress("fd65::1")] };
    dataplane.endpoint("/test/a", endpoint);
    dataplane.setInSync();
    await dataplane.apply();
    await host.container(dataplane, "a", web);
    const routes = () => host.namespace.must("ip", "route") + host.namespace.must("ip", "-6", "route");
    const own = routes();
    const strays = {
      static: "10.65.9.1 dev calia proto static",
      boot: "10.65.9.2 dev calia proto boot",
      felix: "10.65.9.3 dev calia proto 80",
      // To the endpoint's own address, and better than ours.
      better: `${web} dev calia scope link proto boot`,
    };
    const add = (words: string) => host.namespace.must("ip", "route", "add", ...words.split(" "));
    const elsewhere = "10.66.0.0/24 via 172.31.0.99 proto static";
    for (const words of [...Object.values(strays), elsewhere]) add(words);
    host.namespace.must("ip", "-6", "route", "add", "fd99::1", "dev", "calia", "proto", "static");
    await eventually("the routes are noticed", () => attention > 0);
    await dataplane.apply();
    // What leads elsewhere, and what the kernel made itself, is no business of ours.
    expect(routes()).toContain("10.66.0.0/24 via 172.31.0.99");
    expect(routes()).toContain("fe80::/64 dev calia");
    host.namespace.must("ip", "route", "del", "10.66.0.0/24");
    expect(routes()).toBe(own);
    dataplane.hostSettings({ ...defaultSettings, removeExternalRoutes: false });
    for (const words of Object.values(strays)) add(words);
    await dataplane.apply();
    expect(routes()).toContain("10.65.9.1 dev calia proto static");
    for (const gone of ["10.65.9.2", "10.65.9.3", `${web} dev calia scope link \n`])
      expect(routes()).not.toContain(gone);
    // Made while nobody looked.
    await dataplane.close();
    await using second = await host.open();
    second.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
    second.endpoint("/test/a", endpoint);
    await second.apply();
    expect(routes()).toContain("10.65.9.1 dev calia proto static");
    second.setInSync();
    await second.apply();
    expect(routes()).toBe(own);
  },
  timeoutMs,
);

test(
  "14: a route to the interface of an endpoint that is not known yet has ten seconds, and outlasts them if it comes to be known",
  async () => {
    await using host = new TestHost("ir");
    const clock = new TestClock();
    await using dataplane = await host.open({ clock });
    dataplane.setInSync();
    for (const name of ["early", "never"])
      await dataplane.createVeth({ hostName: `cali${name}`, containerName: `temp${name}` });
    await dataplane.apply();
    host.namespace.must("ip", "route", "add", "10.65.0.5", "dev", "caliearly", "scope", "link");
    host.namespace.must("ip", "route", "add", "10.65.0.6", "dev", "calinever", "scope", "link");
    const leadsTo = (address: string) =>
      /dev (\S+)/.exec(host.namespace.run(["ip", "route", "get", address]).stdout)?.[1];
    await dataplane.apply();
    await clock.advance(9_000);
    await dataplane.apply();
    expect([leadsTo("10.65.0.5"), leadsTo("10.65.0.6")]).toEqual(["caliearly", "calinever"]);
    dataplane.endpoint("/test/early", endpointOf("early", "10.65.0.5", []));
    await dataplane.apply();
    expect(leadsTo("10.65.0.5")).toBe("caliearly");
    await clock.advance(1_000);
    await dataplane.apply();
    expect([leadsTo("10.65.0.5"), leadsTo("10.65.0.6")]).toEqual(["caliearly", undefined]);
    // It is our own route by now.
    expect(host.namespace.must("ip", "route", "show", "10.65.0.5")).toMatch(
      /^10\.65\.0\.5 dev caliearly proto 109 [^\n]*\n$/,
    );
  },
  timeoutMs,
);

test(
  "routes to endpoints name the source address that is set, once the host has it, and do without it when it goes",
  async () => {
    await using host = new TestHost("ir");
    await using dataplane = await host.open();
    dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
    dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/open"]));
    const source = parseIpAddress("172.31.0.77");
    dataplane.hostSettings({ ...defaultSettings, routeSource: { ipv4: source, ipv6: undefined } });
    dataplane.setInSync();
    await dataplane.apply();
    const a = await host.container(dataplane, "a", web);
    const sentFrom = () => /src (\S+)/.exec(host.namespace.must("ip", "route", "get", web))?.[1];
    expect(sentFrom()).toBe(hostAddress);
    host.namespace.must("ip", "addr", "add", `${source}/24`, "dev", "eth0");
    await dataplane.apply();
    expect(sentFrom()).toBe(source);
    await serveTcp(a, 80);
    host.namespace.start("nc", web, "80");
    await eventually("the container sees that address", () =>
      host.namespace.must("conntrack", "-L", "-d", web).includes(`src=${source} dst=${web}`),
    );
    // The kernel takes the route along with the address.
    host.namespace.must("ip", "addr", "del", `${source}/24`, "dev", "eth0");
    await dataplane.apply();
    expect(sentFrom()).toBe(hostAddress);
    expect(pings(host.namespace, web)).toBe(true);
  },
  timeoutMs,
);

test(
  "a host that moves: a new container has the new uplink's MTU, and no route leads to the host's own new address",
  async () => {
    await using host = new TestHost("ir");
    const { namespace } = host;
    const identity = { name: "host1", address: hostAddress };
    let attention = 0;
    await using dataplane = await host.open({
      host: identity,
      onNeedsApply: () => attention++,
      watchEveryMs: 10,
    });
    const moved = parseIpAddress("172.32.0.11");
    const blocks = [
      [parseCidr("10.65.1.0/26"), parseIpAddress("172.31.0.99")],
      [parseCidr("10.65.2.0/26"), moved],
    ] as const;
    const mtuOf = (name: string) => /mtu (\d+)/.exec(namespace.must("ip", "link", "show", "dev", name))?.[1];
    const routes = () => namespace.must("ip", "route", "show", "proto", "109");
    namespace.must("ip", "link", "set", "eth0", "mtu", "1450");
    namespace.must("ip", "link", "add", "eth1", "mtu", "1400", "type", "veth", "peer", "name", "peer1");
    namespace.must("ip", "link", "set", "peer1", "up");
    namespace.must("ip", "link", "set", "eth1", "up");
    namespace.must("ip", "route", "add", `${moved}/32`, "dev", "eth1");
    dataplane.remoteRoutes(new Map(blocks));
    dataplane.setInSync();
    await dataplane.apply();
    await dataplane.createVeth({ hostName: "calia", containerName: "tempa" });
    expect(mtuOf("calia")).toBe("1450");
    expect(routes()).toContain(`10.65.2.0/26 via ${moved}`);

    namespace.must("ip", "route", "del", `${moved}/32`, "dev", "eth1");
    namespace.must("ip", "addr", "add", `${moved}/24`, "dev", "eth1");
    await dataplane.apply();
    attention = 0;
    identity.address = moved;
    await eventually("the move is noticed", () => attention > 0);
    await dataplane.createVeth({ hostName: "calib", containerName: "tempb" });
    expect(mtuOf("calib")).toBe("1400");
    await dataplane.apply();
    expect(routes()).toContain("10.65.1.0/26 via 172.31.0.99");
    expect(routes()).not.toContain("10.65.2.0/26");
    // Its uplink changes while it stays where it is.
    namespace.must("ip", "link", "set", "eth1", "mtu", "1380");
    await dataplane.createVeth({ hostName: "calic", containerName: "tempc" });
    expect(mtuOf("calic")).toBe("1380");
  },
  timeoutMs,
);
