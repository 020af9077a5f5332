/** The state file: what is written is what is read; what is damaged counts as not there. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostOf, type LabState, labNames, mustReadLabState, readLabState, writeLabState } from "./lab-state.ts";

const state: LabState = {
  version: 1,
  name: "one",
  phase: "up",
  reason: "",
  createdAt: "2026-01-01T00:00:00.000Z",
  store: "embedded",
  storeEndpoint: "http://172.31.0.11:2379",
  planIndex: 0,
  subnet: "172.31.0.0/24",
  outside: "198.51.100.1",
  supervisor: { pid: 17, start: "4711" },
  switchPid: 18,
  forwards: [{ name: "api", address: "127.0.0.1", port: 8080, to: "host1:8080" }],
  hosts: [
    {
      name: "host1",
      address: "172.31.0.11",
      pid: 19,
      services: [{ name: "store", phase: "ready", pid: 20, reason: "ready", restarts: 0, sinceMs: 1 }],
    },
  ],
};

let folder = "";
const before = process.env.MARGAY_LAB_DIR;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "margay-lab-state-"));
  process.env.MARGAY_LAB_DIR = folder;
  mkdirSync(join(folder, "one"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  if (before === undefined) delete process.env.MARGAY_LAB_DIR;
  else process.env.MARGAY_LAB_DIR = before;
});

test("a state is read as it was written, and is for root only", () => {
  writeLabState(state);
  expect(readLabState("one")).toEqual(state);
  expect(statSync(join(folder, "one/state.json")).mode & 0o777).toBe(0o600);
});

for (const text of ["", "{", "[]", '{"version":2}', JSON.stringify({ ...state, hosts: [{ name: "host1" }] })]) {
  test(`${JSON.stringify(text.slice(0, 20))} counts as no state`, () => {
    writeFileSync(join(folder, "one/state.json"), text);
    expect(readLabState("one")).toBeUndefined();
    expect(() => mustReadLabState("one")).toThrow('lab "one" is not up');
  });
}

test("an unknown lab's error names the labs there are", () => {
  expect(labNames()).toEqual(["one"]);
  expect(() => mustReadLabState("two")).toThrow('lab "two" is not up; there is: one');
});

test("an unknown host's error names the hosts there are", () => {
  expect(hostOf(state, "host1").address).toBe("172.31.0.11");
  expect(() => hostOf(state, "host2")).toThrow('lab "one" has no host "host2"; it has: host1');
});
