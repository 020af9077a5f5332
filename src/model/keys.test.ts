/** Keys byte for byte, since other programs read and write the same keyspace. */

import { expect, test } from "bun:test";
import { parseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import {
  affinityKey,
  blockKey,
  handleKey,
  kindPrefix,
  parseAffinityKey,
  parseBlockKey,
  parseHandleKey,
  parseResourceKey,
  profileKey,
  type ResourceKey,
  resourceKey,
  workloadEndpointKey,
} from "./keys.ts";

const block = parseCidr("10.1.2.64/26");
const block6 = parseCidr("fd00:1::40/122");

const written: readonly [key: string, expected: string][] = [
  [profileKey("my-calico-net"), "/calico/resources/v3/projectcalico.org/profiles/my-calico-net"],
  [
    workloadEndpointKey("libnetwork", "host1-libnetwork-libnetwork-4f5e"),
    "/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/host1-libnetwork-libnetwork-4f5e",
  ],
  [kindPrefix("Node"), "/calico/resources/v3/projectcalico.org/nodes/"],
  [blockKey(block), "/calico/ipam/v2/assignment/ipv4/block/10.1.2.64-26"],
  [blockKey(block6), "/calico/ipam/v2/assignment/ipv6/block/fd00:1::40-122"],
  [affinityKey("node-1", block), "/calico/ipam/v2/host/node-1/ipv4/block/10.1.2.64-26"],
  [handleKey("net.4f5e"), "/calico/ipam/v2/handle/net.4f5e"],
];
for (const [key, expected] of written) test(`key ${expected}`, () => expect(key).toBe(expected));

test("what is written is read back", () => {
  const keys: ResourceKey[] = [
    { kind: "Node", name: "node-1" },
    { kind: "WorkloadEndpoint", namespace: "default", name: "a--b-cni-x-eth0" },
  ];
  for (const key of keys) expect(parseResourceKey(resourceKey(key))).toEqual(key);
  expect(parseBlockKey(blockKey(block6))).toBe(block6);
  expect(parseAffinityKey(affinityKey("node-1", block))).toEqual({ host: "node-1", cidr: block });
  expect(parseAffinityKey("/calico/ipam/v2/@/node-1/ipv4/block/10.1.2.64-26")?.host).toBe("node-1");
  expect(parseHandleKey(handleKey("net.4f5e"))).toBe("net.4f5e");
});

const foreign: readonly string[] = [
  "/calico/resources/v3/projectcalico.org/nodes/",
  "/calico/resources/v3/projectcalico.org/nodes/a/b",
  "/calico/resources/v3/projectcalico.org/nodesx/foo",
  "/calico/resources/v3/projectcalico.org/workloadendpoints/only-namespace",
  "calico/resources/v3/projectcalico.org/nodes/a",
  "/calico/ipam/v2/config",
];
for (const key of foreign) test(`no resource key: ${key}`, () => expect(parseResourceKey(key)).toBeUndefined());

test("a slash in a name is refused", () => {
  expect(() => profileKey("a/b")).toThrow(BadInput);
  expect(() => handleKey("a/b")).toThrow(BadInput);
  expect(() => resourceKey({ kind: "WorkloadEndpoint", name: "x" })).toThrow("namespace is not specified");
});
