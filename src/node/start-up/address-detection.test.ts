/** Which address of a host each detection method finds. */
import { describe, expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import type { HostInterface } from "../../kernel/host-interfaces.ts";
import {
  detectAddress,
  type HostSurroundings,
  methodText,
  parseDetectionMethod,
  presentableInterfaces,
  withPrefixLength,
} from "./address-detection.ts";

function link(index: number, name: string, ...addresses: string[]): HostInterface {
  return {
    index,
    name,
    addresses: addresses.map((text) => {
      const [address = "", length = ""] = text.split("/");
      return { address: parseIpAddress(address), prefixLength: Number(length) };
    }),
  };
}

const interfaces = [
  link(1, "lo", "127.0.0.1/8", "10.9.9.9/32", "::1/128"),
  link(2, "eth0", "169.254.7.7/16", "10.0.0.11/24", "fe80::1/64", "2001:db8::11/64"),
  link(3, "eth1", "192.0.2.11/28"),
  link(4, "docker0", "172.17.0.1/16", "fd00:1::1/64"),
  link(5, "cali0123", "169.254.1.1/32"),
  link(6, "wlan0"),
];

const host: HostSurroundings = {
  interfaces: () => interfaces,
  resolve: async (name) => (name === "gateway.example" ? [parseIpAddress("203.0.113.1")] : []),
  sourceAddressFor: (to) => (to.startsWith("203.0.113.") ? parseIpAddress("10.0.0.11") : undefined),
};

const found: readonly [method: string, family: 4 | 6, address: string][] = [
  ["", 4, "192.0.2.11/28"],
  ["first-found", 4, "192.0.2.11/28"],
  ["first-found", 6, "2001:db8::11/64"],
  ["interface=eth0", 4, "10.0.0.11/24"],
  ["interface=wlan.*,eth[01]", 4, "192.0.2.11/28"],
  ["interface=docker0", 4, "172.17.0.1/16"],
  ["skip-interface=eth1", 4, "10.0.0.11/24"],
  ["can-reach=203.0.113.9", 4, "10.0.0.11/24"],
  ["can-reach=gateway.example", 4, "10.0.0.11/24"],
  ["cidr=10.0.0.0/8,172.16.0.0/12", 4, "172.17.0.1/16"],
  ["cidr=10.0.0.0/24", 4, "10.0.0.11/24"],
  ["cidr=2001:db8::/32", 6, "2001:db8::11/64"],
];
for (const [method, family, address] of found) {
  test(`${method || "(nothing)"} finds the IPv${family} address ${address}`, async () => {
    const detected = await detectAddress(parseDetectionMethod(method, "IP"), family, host);
    expect(`${detected.address}/${detected.prefixLength}`).toBe(address);
  });
}

const missing: readonly [method: string, family: 4 | 6][] = [
  ["interface=wlan0", 4],
  ["skip-interface=eth.*", 4],
  ["can-reach=198.51.100.1", 4],
  ["can-reach=nobody.example", 4],
  ["cidr=198.51.100.0/24", 4],
];
for (const [method, family] of missing) {
  test(`${method} finds none, and says what it looked at`, async () => {
    const detecting = detectAddress(parseDetectionMethod(method, "IP"), family, host);
    await expect(detecting).rejects.toThrow(
      `no IPv${family} address of this host fits ${method}; its interfaces have: lo (127.0.0.1, 10.9.9.9), eth0`,
    );
  });
}

describe("what is no method is refused with the variable's name", () => {
  const refused: readonly [method: string, problem: string][] = [
    ["kubernetes-internal-ip", "asks a Kubernetes node object"],
    ["last-found", "is no detection method"],
    ["interface=", "is no detection method"],
    ["interface=eth(", "is no regular expression"],
    ["cidr=10.0.0.0/33", "is not a CIDR"],
    ["reach=1.2.3.4", "is no detection method"],
  ];
  for (const [method, problem] of refused) {
    test(method, () => {
      expect(() => parseDetectionMethod(method, "IP_AUTODETECTION_METHOD")).toThrow(problem);
      expect(() => parseDetectionMethod(method, "IP_AUTODETECTION_METHOD")).toThrow("IP_AUTODETECTION_METHOD");
    });
  }
});

test("a method's text is what it was parsed from", () => {
  for (const text of ["first-found", "interface=a.*,b", "skip-interface=c", "can-reach=x", "cidr=10.0.0.0/8"]) {
    expect(methodText(parseDetectionMethod(text, ""))).toBe(text);
  }
});

test("an address has the prefix length of its interface, or stands alone", () => {
  expect(withPrefixLength(parseIpAddress("192.0.2.11"), interfaces).prefixLength).toBe(28);
  expect(withPrefixLength(parseIpAddress("192.0.2.12"), interfaces).prefixLength).toBe(32);
  expect(withPrefixLength(parseIpAddress("2001:db8::12"), interfaces).prefixLength).toBe(128);
});

test("other hosts are told of interfaces that are not programs' own, with addresses that can be reached", () => {
  const told = presentableInterfaces(interfaces).map(({ name, addresses }) => [name, addresses.length]);
  expect(told).toEqual([
    ["eth0", 2],
    ["eth1", 1],
  ]);
});
