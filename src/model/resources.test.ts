/** Resources as they are written, and what is refused on reading. */

import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { decodeClusterInformation, initializationKeys, initializationWrites } from "./cluster-information.ts";
import { decodeIpPool, defaultIpPool, newIpPool } from "./ip-pool.ts";
import { clusterInformationKey } from "./keys.ts";
import { decodeNode, hostAddress, newNode } from "./node.ts";
import { decodeProfile, networkProfile } from "./profile.ts";
import { encode } from "./resource.ts";
import { decodeWorkloadEndpoint, newWorkloadEndpoint } from "./workload-endpoint.ts";
import { parseWorkloadEndpointName, workloadEndpointName } from "./workload-endpoint-name.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: Date.UTC(2026, 5, 1, 10, 0, 0, 123) };

test("the profile of a network lets its members in and nobody else", () => {
  expect(encode(networkProfile("my-calico-net", stamp))).toBe(
    '{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"my-calico-net",' +
      '"uid":"00000000-0000-4000-8000-000000000000","creationTimestamp":"2026-06-01T10:00:00Z"},' +
      '"spec":{"ingress":[{"action":"Allow","source":{"selector":"has(my-calico-net)"}}],"egress":[{"action":"Allow"}],' +
      '"labelsToApply":{"my-calico-net":""}}}',
  );
});

test("a Docker endpoint is a libnetwork endpoint with forced labels", () => {
  const endpoint = newWorkloadEndpoint(
    {
      namespace: "libnetwork",
      node: "host-1",
      orchestrator: "libnetwork",
      workload: "libnetwork",
      endpoint: "4f5e6d7c8b9a",
      interfaceName: "cali4f5e6d7c8b9",
      mac: "ee:ee:ee:ee:ee:ee",
      addresses: [parseIpAddress("192.168.10.65")],
      profiles: ["my-calico-net"],
      labels: { app: "web", "projectcalico.org/namespace": "forged" },
    },
    stamp,
  );
  expect(endpoint.metadata.name).toBe("host--1-libnetwork-libnetwork-4f5e6d7c8b9a");
  expect(endpoint.metadata.labels).toEqual({
    app: "web",
    "projectcalico.org/namespace": "libnetwork",
    "projectcalico.org/orchestrator": "libnetwork",
  });
  expect(endpoint.spec.ipNetworks).toEqual(["192.168.10.65/32"]);
  expect(decodeWorkloadEndpoint(encode(endpoint))).toEqual(endpoint);
});

const names: readonly [identity: Parameters<typeof workloadEndpointName>[0], name: string][] = [
  [
    { node: "node-1", orchestrator: "cni", containerID: "abcdefa0123456", endpoint: "eth0" },
    "node--1-cni-abcdefa0123456-eth0",
  ],
  [{ node: "node-1", orchestrator: "foo", workload: "foo-foo", endpoint: "abcdefgh" }, "node--1-foo-foo--foo-abcdefgh"],
  [{ node: "n1", orchestrator: "libnetwork", endpoint: "ep" }, "n1-libnetwork-libnetwork-ep"],
  [{ node: "n1", orchestrator: "k8s", pod: "p", endpoint: "eth0" }, "n1-k8s-p-eth0"],
];
for (const [identity, name] of names) {
  test(`endpoint name ${name}`, () => {
    expect(workloadEndpointName(identity)).toBe(name);
    expect(parseWorkloadEndpointName(name)?.[0]).toBe(identity.node);
    expect(parseWorkloadEndpointName(name)?.[3]).toBe(identity.endpoint);
  });
}

test("an endpoint name needs all of its segments, none with a dash at an end", () => {
  expect(() => workloadEndpointName({ node: "n1", orchestrator: "cni", endpoint: "eth0" })).toThrow(
    "should be assigned",
  );
  const dash = { node: "n1", orchestrator: "foo", workload: "-x", endpoint: "eth0" };
  expect(() => workloadEndpointName(dash)).toThrow("must not begin with a '-'");
  expect(parseWorkloadEndpointName("a-b-c")).toBeUndefined();
});

test("1, 9: unknown fields survive a read and a write; resourceVersion does not", () => {
  const text =
    '{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"p","resourceVersion":"7","x":1},' +
    '"spec":{"ingress":null,"y":{"z":2}},"w":3}';
  const copy = JSON.parse(encode(decodeProfile(text)));
  expect(copy.metadata).toEqual({ name: "p", x: 1 });
  expect(copy.spec.y).toEqual({ z: 2 });
  expect(copy.w).toBe(3);
});

const refusedRules: readonly [rule: unknown, problem: string][] = [
  [{ action: "allow" }, ""],
  [{ action: "Allow", source: { nets: ["10.0.0.1"] } }, "invalid CIDR"],
  [{ action: "Allow", source: { nets: ["10.0.0.1/24"] } }, "not strictly masked"],
  [{ action: "Allow", source: { nets: ["10.0.0.0/8", "fd00::/8"] } }, "both IPv4 and IPv6"],
  [{ action: "Allow", source: { notNets: ["0.0.0.0/0"] } }, "catch-all CIDR"],
  [{ action: "Allow", destination: { ports: [80] } }, "must set protocol to TCP"],
  [{ action: "Allow", protocol: "ICMP", destination: { ports: [80] } }, "that specify ports must set protocol"],
  [{ action: "Allow", protocol: "TCP", destination: { ports: [0] } }, "port range invalid"],
  [{ action: "Allow", protocol: "TCP", destination: { ports: ["90:80"] } }, "port range invalid"],
  [{ action: "Allow", protocol: "tcp" }, "protocol name invalid"],
  [{ action: "Allow", protocol: 0 }, "protocol number invalid"],
  [{ action: "Allow", icmp: { type: 8 } }, "must set protocol to ICMP"],
  [{ action: "Allow", protocol: "ICMP", icmp: { code: 0 } }, "without an ICMP type"],
  [{ action: "Allow", protocol: "ICMP", ipVersion: 6 }, "'4' with protocol icmp"],
  [{ action: "Allow", ipVersion: 6, source: { nets: ["10.0.0.0/8"] } }, "doesn't match CIDR version"],
  [{ action: "Allow", source: { selector: "has(" } }, "spec.ingress[0].source.selector"],
  [{ action: "Allow", source: { selector: "global()" } }, "namespaceSelector"],
];
for (const [rule, problem] of refusedRules) {
  test(`a rule is refused: ${JSON.stringify(rule)}`, () => {
    const text = JSON.stringify({
      kind: "Profile",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "p" },
      spec: { ingress: [rule] },
    });
    expect(() => decodeProfile(text)).toThrow(BadInput);
    expect(() => decodeProfile(text)).toThrow(problem);
  });
}

test("a named port needs no protocol, a digit string is a port", () => {
  const ingress = [
    { action: "Allow", destination: { ports: ["http"] } },
    { action: "Allow", protocol: "6", destination: { ports: ["80", "80:90"] } },
  ];
  const text = JSON.stringify({
    kind: "Profile",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "p" },
    spec: { ingress },
  });
  expect(decodeProfile(text).spec.ingress).toHaveLength(2);
});

const refusedEndpoints: readonly [spec: Record<string, unknown>, problem: string][] = [
  [{ ipNetworks: ["10.0.0.0/24"] }, "IP network contains multiple addresses"],
  [{ ipNetworks: ["x"] }, "not an address"],
  [{ interfaceName: "cali/../x" }, "interfaceName"],
  [{ node: "" }, "node"],
];
for (const [spec, problem] of refusedEndpoints) {
  test(`an endpoint is refused: ${JSON.stringify(spec)}`, () => {
    const text = JSON.stringify({
      kind: "WorkloadEndpoint",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "n1-o-w-e", namespace: "default" },
      spec: { node: "n1", orchestrator: "o", workload: "w", endpoint: "e", ...spec },
    });
    expect(() => decodeWorkloadEndpoint(text)).toThrow(problem);
  });
}

test("the default pool is written with all its defaults and read back", () => {
  const text = encode(defaultIpPool(stamp));
  expect(JSON.parse(text).spec).toEqual({
    cidr: "192.168.0.0/16",
    vxlanMode: "Never",
    ipipMode: "Never",
    natOutgoing: true,
    blockSize: 26,
    nodeSelector: "all()",
    allowedUses: ["Workload", "Tunnel"],
    assignmentMode: "Automatic",
  });
  const pool = decodeIpPool(text);
  expect([pool.name, pool.blockSize, pool.automatic]).toEqual(["default-ipv4-ippool", 26, true]);
});

test("pools that cannot work are refused in Calico's words", () => {
  expect(() => newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/27") }, stamp)).toThrow("IP pool size is too small");
  expect(() => newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/8"), blockSize: 33 }, stamp)).toThrow(
    "between 20 and 32",
  );
  const text = encode(defaultIpPool(stamp)).replace("192.168.0.0/16", "192.168.0.1/16");
  expect(() => decodeIpPool(text)).toThrow("not strictly masked");
});

test("a host is reached at its BGP address, else at an internal, else an external one", () => {
  const node = newNode({ name: "n1", ipv4: "172.31.0.11/24" }, stamp);
  expect(hostAddress(decodeNode(encode(node)), 4)).toBe(parseIpAddress("172.31.0.11"));
  expect(hostAddress(node, 6)).toBeUndefined();
  const addresses = [
    { address: "9.9.9.9", type: "ExternalIP" },
    { address: "10.0.0.1", type: "InternalIP" },
  ];
  expect(hostAddress({ ...node, spec: { addresses } }, 4)).toBe(parseIpAddress("10.0.0.1"));
});

test("16, 17: initialising twice merges the types and changes nothing else", () => {
  const store = new Map<string, string>();
  let ids = 0;
  const run = (clusterType: string) => {
    const writes = initializationWrites(store, { clusterType, nowMs: stamp.nowMs, uuid: () => `${++ids}-4444` });
    for (const { key, value, expected } of writes) {
      expect(store.get(key)).toBe(expected as string);
      store.set(key, value);
    }
    return writes.length;
  };
  expect(run("a")).toBe(4);
  expect([...store.keys()].sort()).toEqual([...initializationKeys].sort());
  const guid = decodeClusterInformation(store.get(clusterInformationKey) ?? "").spec.clusterGUID;
  expect(run("b")).toBe(1);
  expect(run("a")).toBe(0);
  const information = decodeClusterInformation(store.get(clusterInformationKey) ?? "");
  expect(information.spec).toEqual({ clusterGUID: guid, clusterType: "a,b", datastoreReady: true });
});

test("18: initialising leaves a locked datastore locked", () => {
  const store = new Map([
    [
      clusterInformationKey,
      '{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},' +
        '"spec":{"clusterGUID":"g","clusterType":"a","datastoreReady":false}}',
    ],
  ]);
  const writes = initializationWrites(store, { clusterType: "b", nowMs: 0, uuid: () => "u" });
  const value = writes.find(({ key }) => key === clusterInformationKey)?.value ?? "";
  expect(decodeClusterInformation(value).spec.datastoreReady).toBe(false);
});
