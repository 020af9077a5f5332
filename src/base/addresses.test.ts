/** Addresses: canonical text, refusals, and arithmetic that holds for any address. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  addressAt,
  addressBytes,
  addressFromBytes,
  cidrAround,
  cidrContains,
  cidrCovers,
  cidrOverlaps,
  indexOf,
  parseCidr,
  parseIpAddress,
  prefixLength,
  tryParseCidr,
  tryParseIpAddress,
} from "./addresses.ts";

describe("an address has one text", () => {
  const cases: readonly [string, string][] = [
    ["10.0.0.1", "10.0.0.1"],
    ["FD00::0:1", "fd00::1"],
    ["::", "::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.1.2.3", "::ffff:a01:203"],
  ];
  for (const [input, canonical] of cases) test(input, () => expect(String(parseIpAddress(input))).toBe(canonical));
});

describe("what is no address is refused", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4.5",
    ":::",
    "1::2::3",
    "fe80::1%eth0",
    "g::",
    "1:2:3:4:5:6:7:8:9",
    "1.2.3.4::",
  ])
    test(JSON.stringify(text), () => {
      expect(tryParseIpAddress(text)).toBeUndefined();
      expect(() => parseIpAddress(text, "spec.ip")).toThrow(/^spec\.ip: /);
    });
  for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", "/8", "10.0.0.0/08"])
    test(JSON.stringify(text), () => expect(tryParseCidr(text)).toBeUndefined());
});

test("a CIDR loses its host bits", () => {
  expect(String(parseCidr("10.1.2.3/16"))).toBe("10.1.0.0/16");
  expect(String(parseCidr("10.1.2.3"))).toBe("10.1.2.3/32");
  expect(String(parseCidr("fd00::1:2/112"))).toBe("fd00::1:0/112");
  expect(String(parseCidr("1.2.3.4/0"))).toBe("0.0.0.0/0");
});

test("containment and overlap keep the families apart", () => {
  const pool = parseCidr("192.168.0.0/16");
  expect(cidrContains(pool, parseIpAddress("192.168.255.255"))).toBe(true);
  expect(cidrContains(pool, parseIpAddress("192.169.0.0"))).toBe(false);
  expect(cidrContains(parseCidr("0.0.0.0/0"), parseIpAddress("::1"))).toBe(false);
  expect(cidrOverlaps(pool, parseCidr("192.168.4.0/24"))).toBe(true);
  expect(cidrCovers(parseCidr("192.168.4.0/24"), pool)).toBe(false);
});

const anyAddress = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(addressFromBytes);

test("text and bytes agree for every address", () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      expect(addressFromBytes(addressBytes(address))).toBe(address);
      expect(parseIpAddress(address.toUpperCase())).toBe(address);
    }),
  );
});

test("four decimal numbers up to 255 without leading zeros are an IPv4 address, and no other text without a colon is", () => {
  const number = /^(0|[1-9]\d{0,2})$/;
  const nearly = fc.array(
    fc.constantFrom("0", "1", "25", "255", "256", "00", "01", "1000", "", "a", " ", "+1", "1e1"),
    {
      minLength: 3,
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(nearly, (parts) => {
      const valid = parts.length === 4 && parts.every((part) => number.test(part) && Number(part) <= 255);
      const text = parts.join(".");
      expect(String(tryParseIpAddress(text))).toBe(valid ? text : "undefined");
      expect(String(tryParseCidr(`${text}/32`))).toBe(valid ? `${text}/32` : "undefined");
    }),
  );
});

test("the CIDR around an address holds it at its index", () => {
  fc.assert(
    fc.property(anyAddress, fc.nat(), (address, seed) => {
      const cidr = cidrAround(address, seed % (addressBytes(address).length * 8 + 1));
      expect(cidrContains(cidr, address)).toBe(true);
      expect(addressAt(cidr, indexOf(cidr, address))).toBe(address);
      expect(parseCidr(`${address}/${prefixLength(cidr)}`)).toBe(cidr);
    }),
  );
});
