/** What an endpoint's qosControls mean; what is not given has Calico's defaults (calico-datastore.md 2.2). */

import type { QosControls } from "../model/qos-controls.ts";
import type { Bandwidth, EndpointLimits, TrafficLimits } from "./enforcement.ts";

const burstBitsDefault = 4_294_967_296;
const packetBurstDefault = 5;

/** Undefined: no limit at all. */
export function endpointLimits(controls: QosControls | undefined): EndpointLimits | undefined {
  if (controls === undefined) return undefined;
  const inbound = limitsOf(controls, "ingress");
  const outbound = limitsOf(controls, "egress");
  if (inbound === undefined && outbound === undefined) return undefined;
  return { ...(inbound === undefined ? {} : { inbound }), ...(outbound === undefined ? {} : { outbound }) };
}

function limitsOf(controls: QosControls, direction: "ingress" | "egress"): TrafficLimits | undefined {
  const { [`${direction}PacketRate` as const]: rate = 0, [`${direction}PacketBurst` as const]: burst = 0 } = controls;
  const { [`${direction}MaxConnections` as const]: connections = 0 } = controls;
  const bandwidth = bandwidthOf(controls, direction);
  const limits: TrafficLimits = {
    ...(rate === 0 ? {} : { packets: { perSecond: rate, burst: burst === 0 ? packetBurstDefault : burst } }),
    ...(connections === 0 ? {} : { connections }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
  };
  return Object.keys(limits).length === 0 ? undefined : limits;
}

function bandwidthOf(controls: QosControls, direction: "ingress" | "egress"): Bandwidth | undefined {
  const { [`${direction}Bandwidth` as const]: bitsPerSecond = 0, [`${direction}Burst` as const]: burst = 0 } = controls;
  const { [`${direction}Peakrate` as const]: peak = 0, [`${direction}Minburst` as const]: minBurst = 0 } = controls;
  if (bitsPerSecond === 0) return undefined;
  return {
    bitsPerSecond,
    burstBits: burst === 0 ? burstBitsDefault : burst,
    ...(peak === 0 ? {} : { peakBitsPerSecond: peak }),
    ...(minBurst === 0 ? {} : { minBurstBytes: minBurst }),
  };
}
