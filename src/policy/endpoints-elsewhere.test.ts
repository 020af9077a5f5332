/** The short way to what counts of endpoints of other hosts against the whole of readEndpoint. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { hostCidr, parseIpAddress } from "../base/addresses.ts";
import { encode } from "../model/resource.ts";
import { newWorkloadEndpoint } from "../model/workload-endpoint.ts";
import { EndpointsElsewhere } from "./endpoints-elsewhere.ts";
import { readEndpoint } from "./resource-readers.ts";

const key = "/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/e1";
const written = newWorkloadEndpoint(
  {
    namespace: "libnetwork",
    node: "host2",
    orchestrator: "libnetwork",
    workload: "libnetwork",
    endpoint: "e1",
    interfaceName: "cali1",
    mac: "ee:ee:ee:ee:ee:ee",
    addresses: [parseIpAddress("10.0.0.1"), parseIpAddress("fd00::1")],
    profiles: ["net-1"],
    labels: { app: "web" },
  },
  { uid: "u", nowMs: 0 },
);
/** As Calico's Go writes it: every member that it knows and we read, in its order. */
const complete = {
  kind: "WorkloadEndpoint",
  apiVersion: "projectcalico.org/v3",
  metadata: {
    name: "host2-k8s-pod1-eth0",
    namespace: "default",
    uid: "u",
    creationTimestamp: null,
    labels: { app: "web", "pcns.a": "b", "projectcalico.org/namespace": "spoofed" },
    annotations: { "margay.io/sibling-addresses": "10.0.0.9" },
  },
  spec: {
    orchestrator: "k8s",
    workload: "w",
    node: "host2",
    containerID: "c",
    pod: "pod1",
    endpoint: "eth0",
    serviceAccountName: "account",
    ipNetworks: ["10.0.0.1/32", "10.0.0.2"],
    ipv4Gateway: "10.0.0.254",
    ipv6Gateway: "",
    profiles: ["kns.default", "ksa.default.account"],
    interfaceName: "cali1",
    mac: "ee:ee:ee:ee:ee:ee",
  },
};

test("what Margay and Calico write takes the short way, in another order it does not", () => {
  const elsewhere = new EndpointsElsewhere("host1");
  expect(elsewhere.read(encode(written))?.addresses).toEqual([
    hostCidr(parseIpAddress("10.0.0.1")),
    hostCidr(parseIpAddress("fd00::1")),
  ]);
  expect(elsewhere.read(JSON.stringify(complete))).toBeDefined();
  const { metadata, ...others } = complete;
  expect(elsewhere.read(JSON.stringify({ ...others, metadata }))).toBeUndefined();
});

test("an endpoint of the host itself is read as a whole", () => {
  expect(new EndpointsElsewhere("host2").read(encode(written))).toBeUndefined();
});

const texts = [
  "",
  "x",
  ".",
  "..",
  "cali-é",
  'a"b',
  "a\\b",
  "\u0001",
  "\u2028",
  "a-name-that-is-too-long",
  "10.0.0.1/24",
  "fd00::/64",
];
const lists = [
  [],
  ["x"],
  ["10.0.0.1/32", "fd00::1/128"],
  ["01.0.0.1/32"],
  ["10.0.0.256/32"],
  ["10.0.0.1/33"],
  [""],
  [1],
];
const maps = [{}, { a: "b" }, { a: 1 }, { "pcsa.x": "y", a: "b" }, { 'a"': "\\" }, { "": "" }];
const anything = fc.oneof(fc.constantFrom<unknown[]>(null, 0, true, ...texts, ...lists, ...maps), fc.jsonValue());
/** Members are changed, left out or added; what comes out of JSON.stringify is sometimes spoiled. */
const changed = fc
  .tuple(
    fc.constantFrom<object>(written, complete),
    fc.array(
      fc.tuple(
        fc.constantFrom("", "metadata", "metadata", "spec", "spec", "labels"),
        fc.constantFrom(
          ...["kind", "apiVersion", "metadata", "spec", "status", "foreign", "__proto__"],
          ...[...Object.keys(complete.metadata), ...Object.keys(complete.spec), "ports", "ipNATs", "qosControls"],
        ),
        fc.option(anything, { nil: undefined }),
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom(...["", "", "", "", "", "", "", " ", "}", '"app":"web",']),
    fc.nat(900),
  )
  .map(([base, changes, extra, at]) => {
    const document: Record<string, unknown> = structuredClone({ ...base });
    for (const [part, field, value] of changes) {
      const { metadata } = document;
      const labels =
        typeof metadata === "object" && metadata !== null && "labels" in metadata ? metadata.labels : undefined;
      const owner = part === "" ? document : part === "labels" ? labels : document[part];
      if (typeof owner !== "object" || owner === null) continue;
      Object.defineProperty(owner, field, {
        value: structuredClone(value),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    const text = JSON.stringify(document);
    return `${text.slice(0, at)}${extra}${text.slice(at)}`;
  });

test("what takes the short way is a valid endpoint of another host, and means the same", () => {
  let short = 0;
  const elsewhere = new EndpointsElsewhere("host1");
  fc.assert(
    fc.property(changed, (text) => {
      const quick = elsewhere.read(text);
      if (quick === undefined) return; // read as a whole then
      short++;
      const { host, source, addresses, ports } = readEndpoint(key, text);
      expect(host).not.toBe("host1");
      expect(quick).toEqual({ source, addresses, ports });
    }),
    { numRuns: 5_000 },
  );
  expect(short).toBeGreaterThan(300);
});
