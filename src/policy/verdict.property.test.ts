/**
 * Random clusters, every pair of addresses: what the enforcement says of a packet is what the oracle says, at every stage
 * and after any change from one cluster to another.
 */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { PolicyCalculator } from "./policy-calculator.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import type { Documents } from "./testing/cluster-documents.ts";
import { verdictOf } from "./testing/enforcement-verdict.ts";
import { type Direction, type OracleCluster, oracleVerdict, type Stage } from "./testing/oracle.ts";
import { clusters, documentsOf, keyOfItem, packets } from "./testing/random-clusters.ts";

const host = "h1";
const directions: readonly Direction[] = ["ingress", "egress"];
const all = packets();

/** How often each verdict was the right one: a test in which nothing is ever allowed would prove little. */
const seen = new Map<string, number>();

function checkVerdicts(cluster: OracleCluster, sink: CheckingSink, sample: (at: number) => boolean): void {
  for (const item of cluster.items.filter(
    (one) => one.host === host && (one.kind === "workload" || one.kind === "host"),
  )) {
    const workload = sink.endpoints.get(keyOfItem(item));
    const hostEndpoint = sink.hostEndpoints.get(keyOfItem(item));
    expect(workload?.addresses ?? hostEndpoint?.expectedIps).toEqual(item.addresses as never);
    for (const direction of directions) {
      const own = direction === "ingress" ? "destination" : "source";
      const about = all.filter(
        (packet, at) => sample(at) && (item.kind === "host" || item.addresses.includes(packet[own])),
      );
      for (const packet of about) {
        const verdicts: [Stage, string][] = [];
        if (workload !== undefined) verdicts.push(["normal", verdictOf(sink, workload, direction, packet)]);
        if (hostEndpoint !== undefined) {
          const { tiers, profiles, forwardTiers, preDnatTiers, untrackedTiers, problems } = hostEndpoint;
          const at = (tiersOfStage: typeof tiers) =>
            problems.length > 0
              ? "deny"
              : verdictOf(sink, { tiers: tiersOfStage, profiles: undefined }, direction, packet);
          verdicts.push(["normal", verdictOf(sink, { tiers, profiles }, direction, packet)]);
          verdicts.push(
            ["forward", at(forwardTiers)],
            ["preDNAT", at(preDnatTiers)],
            ["doNotTrack", at(untrackedTiers)],
          );
        }
        for (const [stage, verdict] of verdicts) {
          const right = oracleVerdict(cluster, item, direction, packet, stage);
          seen.set(`${stage} ${right}`, (seen.get(`${stage} ${right}`) ?? 0) + 1);
          if (verdict !== right) {
            throw new Error(
              `${item.kind} ${item.id} ${direction} ${stage} ${JSON.stringify(packet)}: ${verdict}, not ${right}`,
            );
          }
        }
      }
    }
  }
}

function change(calculator: PolicyCalculator, before: Documents, after: Documents, backwards: boolean): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => before[key] !== after[key],
  );
  for (const key of backwards ? keys.toReversed() : keys) calculator.update(key, after[key]);
}

test("33, 34, 51: the enforcement of a random cluster is what the oracle says, also after a change to another cluster", () => {
  fc.assert(
    fc.property(clusters, clusters, fc.boolean(), fc.nat(2), (first, second, backwards, offset) => {
      const sink = new CheckingSink();
      const calculator = new PolicyCalculator({ host, sink });
      const sample = (at: number) => at % 3 === offset;
      change(calculator, {}, documentsOf(first), backwards);
      calculator.inSync();
      calculator.flush();
      expect([...calculator.invalid]).toEqual([]);
      checkVerdicts(first, sink, sample);
      change(calculator, documentsOf(first), documentsOf(second), backwards);
      calculator.flush();
      checkVerdicts(second, sink, sample);
      sink.checkNothingIdle();
    }),
    { numRuns: 150 },
  );
  for (const stage of ["normal", "forward", "preDNAT", "doNotTrack"]) {
    const kinds = stage === "normal" ? ["allow", "deny"] : ["allow", "deny", "none"];
    for (const verdict of kinds) expect(seen.get(`${stage} ${verdict}`) ?? 0, `${stage} ${verdict}`).toBeGreaterThan(0);
  }
});
