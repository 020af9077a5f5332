/** What is put right after lost calls and crashes, and when. */

import { expect, test } from "bun:test";
import {
  type EndpointSnapshot,
  type OrphanTimes,
  planReconciliation,
  type ReconciliationStep,
} from "./reconciliation-plan.ts";

const GRACE_MS = 60_000;

/** Words: "r:a" record, "r?:a" record of an unnamed network, "d:a" Docker has it, "v:a" veth, "f:a" only its file. */
function snapshot(text: string, nowMs: number): EndpointSnapshot {
  const of = (kind: string) =>
    text.split(" ").flatMap((word) => (word.startsWith(`${kind}:`) ? [word.slice(kind.length + 1)] : []));
  const record = (endpointId: string, networkResolved: boolean) => ({
    endpointId,
    networkResolved,
    hasSiblings: false,
  });
  return {
    records: [...of("r").map((id) => record(id, true)), ...of("r?").map((id) => record(id, false))],
    attached: of("d").map((endpointId) => ({
      endpointId,
      networkId: "n",
      networkName: "net",
      addresses: ["10.0.0.1"],
      mac: "",
    })),
    links: [
      ...of("v").map((endpointId) => ({ endpointId, exists: true })),
      ...of("f").map((endpointId) => ({ endpointId, exists: false })),
    ],
    nowMs,
    graceMs: GRACE_MS,
  };
}

function describeStep(step: ReconciliationStep): string {
  switch (step.kind) {
    case "restore-record":
      return `${step.kind} ${step.endpoint.endpointId}`;
    default:
      return `${step.kind} ${step.endpointId}`;
  }
}

function run(...states: readonly (readonly [nowMs: number, text: string])[]): string {
  let orphans: OrphanTimes = new Map();
  let steps: readonly ReconciliationStep[] = [];
  for (const [nowMs, text] of states) ({ steps, orphans } = planReconciliation(snapshot(text, nowMs), orphans));
  return steps.map(describeStep).join(", ");
}

const cases: readonly [name: string, text: string, afterGrace: string][] = [
  ["a healthy endpoint is left alone", "r:a d:a v:a", ""],
  ["a record without Docker endpoint goes", "r:a v:a", "remove-record a"],
  ["a veth nobody knows goes", "v:a", "remove-link a"],
  ["a leftover file goes", "f:a", "forget-link a"],
  ["a container whose record was lost gets it back", "d:a v:a", "restore-record a"],
  ["a container without record and interface is only reported", "d:a", "warn a"],
  ["one orphan does not pull another down", "r:a d:a v:a r:b", "remove-record b"],
];
for (const [name, text, afterGrace] of cases) {
  test(name, () => {
    expect(run([0, text])).toBe("");
    expect(run([0, text], [GRACE_MS - 1, text])).toBe("");
    expect(run([0, text], [GRACE_MS, text])).toBe(afterGrace);
  });
}

test("an orphan that was seen healthy in between starts its grace anew", () => {
  expect(run([0, "r:a"], [30_000, "r:a d:a"], [GRACE_MS, "r:a"])).toBe("");
  expect(run([0, "r:a"], [30_000, "r:a d:a"], [GRACE_MS, "r:a"], [2 * GRACE_MS, "r:a"])).toBe("remove-record a");
});

test("an endpoint made before its network's name was known is put right at once", () => {
  expect(run([0, "r?:a d:a v:a"])).toBe("resolve-network a");
});
