/**
 * What lost calls and crashes have left behind on this host: a comparison of the endpoint records of this host, of what Docker
 * says is attached, and of the veths this driver made. Pure. Addresses are judged by address-keeper.ts.
 *
 * Docker forgets many failures ("tolerated errors"), so this comparison is the only sure way home for an address. A thing is
 * removed only when it was seen orphaned without interruption for the grace period; what other orchestrators made is not in
 * the snapshot at all (reference/docker.md 2.6, 8.1).
 */

export interface EndpointRecord {
  readonly endpointId: string;
  /** False: made while the network's name was unknown; closed until then. */
  readonly networkResolved: boolean;
  /** True: its record speaks of other interfaces of its container. */
  readonly hasSiblings: boolean;
}

export interface AttachedEndpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly networkName: string;
  readonly addresses: readonly string[];
  readonly mac: string;
}

export interface EndpointSnapshot {
  readonly records: readonly EndpointRecord[];
  /** Of all networks of the driver, from a daemon that answered. */
  readonly attached: readonly AttachedEndpoint[];
  /** EndpointIDs with a state file and whether their host veth exists. */
  readonly links: readonly { readonly endpointId: string; readonly exists: boolean }[];
  readonly nowMs: number;
  readonly graceMs: number;
}

export type ReconciliationStep =
  | { readonly kind: "remove-record"; readonly endpointId: string }
  | { readonly kind: "remove-link"; readonly endpointId: string }
  | { readonly kind: "forget-link"; readonly endpointId: string }
  | { readonly kind: "restore-record"; readonly endpoint: AttachedEndpoint }
  | { readonly kind: "resolve-network"; readonly endpointId: string; readonly networkName: string }
  | { readonly kind: "warn"; readonly endpointId: string; readonly reason: string };

/** Since when each thing has been an orphan; handed from pass to pass. */
export type OrphanTimes = ReadonlyMap<string, number>;

export function planReconciliation(
  snapshot: EndpointSnapshot,
  before: OrphanTimes,
): { readonly steps: readonly ReconciliationStep[]; readonly orphans: OrphanTimes } {
  const orphans = new Map<string, number>();
  const steps: ReconciliationStep[] = [];
  const isOverdue = (key: string): boolean => {
    const sinceMs = before.get(key) ?? snapshot.nowMs;
    orphans.set(key, sinceMs);
    return snapshot.nowMs - sinceMs >= snapshot.graceMs;
  };
  const attached = new Map(snapshot.attached.map((endpoint) => [endpoint.endpointId, endpoint]));
  const records = new Map(snapshot.records.map((record) => [record.endpointId, record]));
  for (const record of snapshot.records) {
    const endpoint = attached.get(record.endpointId);
    if (endpoint === undefined) {
      if (isOverdue(`record ${record.endpointId}`))
        steps.push({ kind: "remove-record", endpointId: record.endpointId });
    } else if (!record.networkResolved) {
      steps.push({ kind: "resolve-network", endpointId: record.endpointId, networkName: endpoint.networkName });
    }
  }
  const links = new Map(snapshot.links.map((link) => [link.endpointId, link.exists]));
  for (const [endpointId, exists] of links) {
    if (attached.has(endpointId) || records.has(endpointId)) continue;
    if (isOverdue(`link ${endpointId}`)) steps.push({ kind: exists ? "remove-link" : "forget-link", endpointId });
  }
  for (const endpoint of snapshot.attached) {
    if (records.has(endpoint.endpointId) || !isOverdue(`attached ${endpoint.endpointId}`)) continue;
    if (links.get(endpoint.endpointId) === true && endpoint.addresses.length > 0) {
      steps.push({ kind: "restore-record", endpoint });
    } else {
      const reason = "Docker knows an endpoint that has neither a record nor an interface here; restart its container";
      steps.push({ kind: "warn", endpointId: endpoint.endpointId, reason });
    }
  }
  return { steps, orphans };
}
