/** What stands before a logged packet. */
import { expect, test } from "bun:test";
import { logPrefixFor } from "./log-prefix.ts";

const lists = {
  global: "policy/security/deny-all",
  namespaced: "policy/default/libnetwork/web",
  profile: "profile/my-calico-net",
};
const cases: readonly [prefix: string, list: keyof typeof lists, expected: string][] = [
  ["calico-packet", "global", "calico-packet: "],
  ["%k|%p", "global", "gnp|deny-all: "],
  ["%t %n", "global", "security deny-all: "],
  ["%t/%k/%p/%n", "namespaced", "default/np/libnetwork/web/web: "],
  ["[%t]%k %p", "profile", "[]pro my-calico-net: "],
  ["100%% %x %", "global", "100%% %x %: "],
  ['a"b\\c\n', "global", "a_b_c_: "],
];
for (const [prefix, list, expected] of cases)
  test(`44: log prefix ${JSON.stringify(prefix)} in a rule of ${lists[list]}`, () => {
    expect(logPrefixFor(prefix, lists[list])).toBe(expected);
  });

test("44: a name that is too long for the kernel is cut", () => {
  const prefix = logPrefixFor("%n", `policy/default/${"x".repeat(253)}`);
  expect(prefix).toBe(`${"x".repeat(123)}: `);
});
