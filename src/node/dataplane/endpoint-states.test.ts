/** Which interface an endpoint has, and what is told of it: up, down, or an error somebody has to mend. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import type { Link } from "../../kernel/links.ts";
import { interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import type { HostEndpointEnforcement } from "../../policy/enforcement.ts";
import { EndpointInterfaces } from "./endpoint-interfaces.ts";
import { HostInterfaces } from "./host-interfaces.ts";
import { endpointOf } from "./testing/containers.ts";

function link(name: string, index: number, up: boolean, running: boolean): Link {
  return { name, index, up, running, mtu: 1_500, mac: "", kind: "veth", alias: "" };
}

function hostEndpoint(name: string, more: Partial<HostEndpointEnforcement>): HostEndpointEnforcement {
  return {
    key: `/hep/${name}`,
    name,
    interfaceName: undefined,
    expectedIps: [],
    tiers: [],
    profiles: [],
    forwardTiers: [],
    preDnatTiers: [],
    untrackedTiers: [],
    problems: [],
    ...more,
  };
}

test("a workload is up when its interface is up at both ends, and in error when it cannot have it", () => {
  const endpoints = new EndpointInterfaces(["cali"]);
  endpoints.setEndpoint("/test/1", endpointOf("1", "10.65.0.1", []));
  expect(endpoints.stateOf("/test/1")).toBe("down");
  for (const [up, running, state] of [
    [false, false, "down"],
    [true, false, "down"],
    [true, true, "up"],
  ] as const) {
    endpoints.linkSeen(link("cali1", 7, up, running));
    expect(endpoints.stateOf("/test/1")).toBe(state);
  }
  endpoints.setEndpoint("/test/0", { ...endpointOf("1", "10.65.0.7", []), key: "/test/0" });
  expect([endpoints.stateOf("/test/0"), endpoints.stateOf("/test/1")]).toEqual(["up", "error"]);
  endpoints.setEndpoint("/test/0", undefined);
  expect([endpoints.stateOf("/test/0"), endpoints.stateOf("/test/1")]).toEqual(["down", "up"]);
  endpoints.setPrefixes(["tap"]);
  expect(endpoints.stateOf("/test/1")).toBe("error");
});

test("datastore 28: of two host endpoints for one interface the smaller name has it, the other when that one goes", () => {
  const addresses = new Map([["10.0.0.1", "eth0"]]);
  const network = {
    linkWithAddress: (address: string) => {
      const name = addresses.get(address);
      return name === undefined ? undefined : link(name, 2, true, true);
    },
  };
  const interfaces = new HostInterfaces(network, (name) => name.startsWith("cali"));
  const eth0 = interfaceNamed("eth0");
  interfaces.set("/hep/b", hostEndpoint("b", { interfaceName: eth0 }));
  interfaces.set("/hep/a", hostEndpoint("a", { expectedIps: [parseIpAddress("10.0.0.1")] }));
  interfaces.set("/hep/lost", hostEndpoint("lost", { expectedIps: [parseIpAddress("10.9.9.9")] }));
  interfaces.set("/hep/all", hostEndpoint("all", { interfaceName: "*" }));
  const resolved = () => [...(interfaces.resolve() ?? [])].map(([name, { key }]) => `${name} ${key}`).sort();
  expect(resolved()).toEqual(["* /hep/all", "eth0 /hep/a"]);
  const names = ["a", "b", "lost", "all"].map((name) => interfaces.interfaceOf(`/hep/${name}`));
  expect(names).toEqual(["eth0", undefined, undefined, "*"]);
  interfaces.set("/hep/a", undefined);
  expect(resolved()).toEqual(["* /hep/all", "eth0 /hep/b"]);
  expect([interfaces.interfaceOf("/hep/b"), interfaces.has("/hep/a")]).toEqual(["eth0", false]);
});
