/** Names and addresses of a lab, as a table. */

import { expect, test } from "bun:test";
import { addressPlan, hostsFile, parseLabName } from "./address-plan.ts";

test("hosts are host1 and up with addresses .11 and up, behind a switch at .1", () => {
  expect(addressPlan(7, 2)).toEqual({
    subnet: "172.31.7.0/24",
    prefixLength: 24,
    gateway: "172.31.7.1",
    outside: "198.51.100.1",
    hosts: [
      { name: "host1", address: "172.31.7.11" },
      { name: "host2", address: "172.31.7.12" },
    ],
  });
  expect(addressPlan(255, 200).hosts.at(-1)).toEqual({ name: "host200", address: "172.31.255.210" });
});

for (const [index, hosts] of [
  [0, 0],
  [0, 201],
  [0, 1.5],
  [0, Number.NaN],
  [256, 1],
  [-1, 1],
] as const) {
  test(`a plan number ${index} with ${hosts} hosts is refused`, () => {
    expect(() => addressPlan(index, hosts)).toThrow("expected");
  });
}

test("every host knows all names, and the world beyond", () => {
  expect(hostsFile(addressPlan(0, 2))).toBe(
    "127.0.0.1 localhost\n::1 localhost ip6-localhost\n172.31.0.11 host1\n172.31.0.12 host2\n198.51.100.1 outside\n",
  );
});

for (const name of ["lab", "a", "my-lab-2", "x".repeat(32)]) {
  test(`"${name}" can name a lab`, () => expect(parseLabName(name)).toBe(name));
}

for (const name of ["", "-a", "a-", "Lab", "a/b", "..", "a b", "a\0b", "x".repeat(33)]) {
  test(`"${name}" cannot name a lab`, () => expect(() => parseLabName(name)).toThrow("cannot name a lab"));
}
