/**
 * Limits of one endpoint's traffic, and its DSCP (calico-datastore.md 2.2, qosControls). 0 means the same as absent: no
 * limit; but for dscp, where it is a value like others.
 */

import { z } from "zod";
import { dscpExpected, parseDscp } from "./dscp.ts";
import { absentOr } from "./resource.ts";

const within = (least: number, most: number) =>
  absentOr(
    z.int().refine((value) => value === 0 || (value >= least && value <= most), `must be 0 or ${least} to ${most}`),
  );
const bitsPerSecond = within(1_000, 1e15);
const burstBits = within(1_000, 34_359_738_360);
const peakBitsPerSecond = within(1_010, 1.01e15);
const minBurstBytes = within(1_000, 1e8);
const packets = within(1, 10_000);
const connections = within(1, 4_294_967_295);

const dscp = absentOr(
  z.union([z.number(), z.string()]).refine((value) => parseDscp(value) !== undefined, `must be ${dscpExpected}`),
);

/** Ingress is what the endpoint receives. */
export const QosControls = z.looseObject({
  ingressBandwidth: bitsPerSecond,
  ingressBurst: burstBits,
  ingressPeakrate: peakBitsPerSecond,
  ingressMinburst: minBurstBytes,
  ingressPacketRate: packets,
  ingressPacketBurst: packets,
  ingressMaxConnections: connections,
  egressBandwidth: bitsPerSecond,
  egressBurst: burstBits,
  egressPeakrate: peakBitsPerSecond,
  egressMinburst: minBurstBytes,
  egressPacketRate: packets,
  egressPacketBurst: packets,
  egressMaxConnections: connections,
  dscp,
});
export type QosControls = z.infer<typeof QosControls>;
