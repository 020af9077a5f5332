/** What an agent offers, from flag and machine, and when it may keep its id after a change. */

import { describe, expect, test } from "bun:test";
import { resourceModel } from "./http/resource-model.ts";
import { agentResources } from "./machine-resources.ts";
import { changeProblem } from "./reconfiguration.ts";

const machine = { cpus: 8, memoryMb: 16_384, diskMb: 100_000 };

describe("resources", () => {
  const rows: readonly [string, string | undefined, typeof machine, Record<string, unknown>][] = [
    ["all detected", undefined, machine, { cpus: 8, mem: 15_360, disk: 94_880, ports: "[31000-32000]" }],
    ["a small machine gives half", undefined, { cpus: 1, memoryMb: 1_500, diskMb: 8_001 }, { mem: 750, disk: 4_000 }],
    ["given ones win", "cpus:2;ports:[1000-1001]", machine, { cpus: 2, mem: 15_360, ports: "[1000-1001]" }],
    ["none is none", "cpus:0;mem:64", machine, { cpus: 0, mem: 64 }],
    ["others are added", "bugs:{a,b}", machine, { bugs: "{a, b}", cpus: 8 }],
  ];
  for (const [name, flag, of, expected] of rows) {
    test(name, () => expect(resourceModel(agentResources(flag, "*", of))).toMatchObject(expected));
  }
});

describe("a changed agent", () => {
  const before = { hostname: "host1", resources: agentResources("cpus:4;mem:64", "*", machine), attributes: [] };
  const more = { ...before, resources: agentResources("cpus:5;mem:64", "*", machine) };
  const fewer = { ...before, resources: agentResources("cpus:3;mem:64", "*", machine) };
  const rack = { ...before, attributes: [{ name: "rack", type: "TEXT", text: { value: "r1" } }] as const };
  const rows: readonly [string, Parameters<typeof changeProblem>, boolean][] = [
    ["equal stays", ["equal", before, { ...before }], true],
    ["more needs additive", ["equal", before, more], false],
    ["more is additive", ["additive", before, more], true],
    ["an attribute more is additive", ["additive", before, rack], true],
    ["an attribute less is not", ["additive", rack, before], false],
    ["fewer is not additive", ["additive", before, fewer], false],
    ["fewer is any", ["any", before, fewer], true],
    ["another host is never the same", ["any", before, { ...before, hostname: "host2" }], false],
  ];
  for (const [name, words, kept] of rows) test(name, () => expect(changeProblem(...words) === undefined).toBe(kept));
});
