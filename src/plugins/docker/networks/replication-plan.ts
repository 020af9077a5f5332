/**
 * One Docker network on all hosts: what this host has to do so that Docker here and the records in the store agree.
 * Pure: a function of what Docker lists, what the store holds, and what this host remembers to have seen agreed.
 *
 * Docker gives a local-scope network another id on each host, so a network is its NAME; a `uid` tells one network from a
 * later one of the same name. The memory (`known`) is what tells "new here" from "removed elsewhere", also for a host that
 * was away: a network whose record this host has seen and which is gone from the same cluster's store was removed. It is
 * bound to the cluster's id, so that an emptied store never removes anybody's networks (reference/docker.md 2.7).
 */

/** What makes two networks the same one. */
export interface NetworkShape {
  readonly driver: string;
  readonly ipamDriver: string;
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly subnets: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
}

export interface RecordedNetwork extends NetworkShape {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface LocalNetwork extends NetworkShape {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The uid this network was copied from by a node, out of its label; undefined when a user created it here. */
  readonly copyOf: string | undefined;
}

export interface KnownNetwork {
  readonly id: string;
  readonly name: string;
  readonly uid: string;
  readonly cluster: string;
}

export interface ReplicationSnapshot {
  readonly cluster: string;
  readonly recorded: ReadonlyMap<string, RecordedNetwork>;
  readonly local: readonly LocalNetwork[];
  readonly known: readonly KnownNetwork[];
}

export type ReplicationStep =
  /** Tell the others. */
  | { readonly kind: "record"; readonly network: LocalNetwork }
  /** Docker and the store agree: remember it. */
  | { readonly kind: "remember"; readonly network: LocalNetwork; readonly uid: string }
  | { readonly kind: "create-here"; readonly network: RecordedNetwork }
  | {
      readonly kind: "remove-here";
      readonly network: LocalNetwork;
      readonly because: "removed-elsewhere" | "replaced-elsewhere";
    }
  /** Removed here by a user: gone everywhere, unless somebody still uses it. */
  | { readonly kind: "remove-record"; readonly network: RecordedNetwork; readonly id: string }
  | { readonly kind: "forget"; readonly id: string }
  | { readonly kind: "conflict"; readonly network: LocalNetwork; readonly recorded: RecordedNetwork };

export function planReplication(snapshot: ReplicationSnapshot): readonly ReplicationStep[] {
  const steps: ReplicationStep[] = [];
  const localIds = new Set(snapshot.local.map((network) => network.id));
  const removedHere = new Set<string>();
  for (const known of snapshot.known) {
    if (localIds.has(known.id)) continue;
    const recorded = snapshot.recorded.get(known.name);
    if (recorded?.uid === known.uid) {
      steps.push({ kind: "remove-record", network: recorded, id: known.id });
      removedHere.add(known.name);
    } else steps.push({ kind: "forget", id: known.id });
  }
  const localNames = new Set<string>();
  for (const network of snapshot.local) {
    if (localNames.has(network.name)) continue; // old daemons take a name twice: the first one counts
    localNames.add(network.name);
    if (removedHere.has(network.name)) continue; // removed and created again: the old record goes first, next pass the rest
    steps.push(...stepsFor(network, snapshot));
  }
  for (const recorded of snapshot.recorded.values()) {
    if (localNames.has(recorded.name) || removedHere.has(recorded.name)) continue;
    steps.push({ kind: "create-here", network: recorded });
  }
  return steps;
}

function stepsFor(network: LocalNetwork, snapshot: ReplicationSnapshot): readonly ReplicationStep[] {
  const recorded = snapshot.recorded.get(network.name);
  const known = snapshot.known.find(
    (candidate) => candidate.id === network.id && candidate.cluster === snapshot.cluster,
  );
  if (recorded === undefined) {
    const seenRecorded =
      known !== undefined || (network.copyOf !== undefined && !isKnownElsewhere(network.id, snapshot));
    return seenRecorded
      ? [{ kind: "remove-here", network, because: "removed-elsewhere" }]
      : [{ kind: "record", network }];
  }
  if (known?.uid === recorded.uid) return [];
  if (sameShape(network, recorded)) return [{ kind: "remember", network, uid: recorded.uid }];
  const oursToReplace = known !== undefined || network.copyOf !== undefined;
  return oursToReplace
    ? [{ kind: "remove-here", network, because: "replaced-elsewhere" }]
    : [{ kind: "conflict", network, recorded }];
}

/** Remembered from another cluster (or from before the store was emptied): the label's uid says nothing here. */
function isKnownElsewhere(id: string, snapshot: ReplicationSnapshot): boolean {
  return snapshot.known.some((candidate) => candidate.id === id && candidate.cluster !== snapshot.cluster);
}

export function sameShape(a: NetworkShape, b: NetworkShape): boolean {
  return shapeText(a) === shapeText(b);
}

function shapeText(shape: NetworkShape): string {
  const sorted = (map: Readonly<Record<string, string>>) => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    shape.driver,
    shape.ipamDriver,
    sorted(shape.ipamOptions),
    [...shape.subnets].sort(),
    sorted(shape.options),
    shape.enableIpv6,
    shape.internal,
    shape.attachable,
  ]);
}
