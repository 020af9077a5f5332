/**
 * Finds places for instances among the offers at hand, and says per offer why it did not do. Pure: offers in, placements
 * and reasons out; random numbers come from the caller.
 *
 * Constraints decide what is allowed; among the allowed, the host with the fewest instances of the app comes first, then the
 * one with the fewest tasks of ours, then the one with most cpus left, so that several instances spread by themselves.
 */

import type { Offer } from "../../mesos/protocol/offer.ts";
import type { Resource } from "../../mesos/protocol/resource-info.ts";
import { reservationRole } from "../../mesos/protocol/resources.ts";
import { type App, type AppPort, portsOf } from "../app/app.ts";
import { acceptsPlace, type Place, placeOf } from "./constraints.ts";
import { type Instance, isActive } from "./instance.ts";
import { isOutdated } from "./planner.ts";
import { takePorts, takeScalar } from "./resource-taking.ts";

export const rejectReasons = [
  "UnfulfilledRole",
  "UnfulfilledConstraint",
  "NoCorrespondingReservationFound",
  "AgentMaintenance",
  "InsufficientCpus",
  "InsufficientMemory",
  "InsufficientDisk",
  "InsufficientGpus",
  "InsufficientPorts",
  "DeclinedScarceResources",
] as const;
export type RejectReason = (typeof rejectReasons)[number];

export interface LaunchWish {
  readonly app: App;
  readonly count: number;
}

/** One instance's place: what it takes from which offer. */
export interface Placement {
  readonly app: App;
  readonly offer: Offer;
  readonly place: Place;
  readonly resources: readonly Resource[];
  readonly hostPorts: readonly number[];
  /** Per port of the app: its host port, or its container port where it has no host port. */
  readonly ports: readonly number[];
}

export interface Rejection {
  readonly app: App;
  readonly offer: Offer;
  readonly reasons: readonly RejectReason[];
}

export interface Matching {
  readonly placements: readonly Placement[];
  readonly rejections: readonly Rejection[];
}

export interface MatchingOptions {
  readonly instancesPerOfferMax: number;
  /** Uniform in [0, 1): where to start in the ranges of ports. */
  readonly random: () => number;
}

interface Candidate {
  readonly offer: Offer;
  readonly place: Place;
  left: readonly Resource[];
  launched: number;
}

export function matchOffers(
  wishes: readonly LaunchWish[],
  offers: readonly Offer[],
  instances: readonly Instance[],
  options: MatchingOptions,
): Matching {
  const candidates = offers.map(
    (offer): Candidate => ({
      offer,
      place: placeOf(offer.hostname, offer.attributes ?? [], offer.domain?.fault_domain),
      left: (offer.resources ?? []).filter(isPlain),
      launched: 0,
    }),
  );
  const placements: Placement[] = [];
  const rejections: Rejection[] = [];
  for (const { app, count } of wishes) {
    const siblings = instances.filter((instance) => instance.appId === app.id && isActive(instance));
    const placed = siblings
      .filter((instance) => !isOutdated(instance, app))
      .map((instance): Place => instance.attributes);
    const perHost = countBy(siblings.map(({ hostname }) => hostname));
    const load = countBy([
      ...instances.map(({ hostname }) => hostname),
      ...placements.map(({ offer }) => offer.hostname),
    ]);
    for (let number = 0; number < count; number += 1) {
      const placement = placeOne(
        app,
        candidates,
        { placed, perHost, load },
        options,
        number === 0 ? rejections : undefined,
      );
      if (placement === undefined) break;
      placements.push(placement);
      placed.push(placement.place);
      increment(perHost, placement.offer.hostname);
      increment(load, placement.offer.hostname);
    }
  }
  return { placements, rejections };
}

interface Surroundings {
  readonly placed: readonly Place[];
  readonly perHost: ReadonlyMap<string, number>;
  readonly load: ReadonlyMap<string, number>;
}

function placeOne(
  app: App,
  candidates: readonly Candidate[],
  around: Surroundings,
  options: MatchingOptions,
  rejections: Rejection[] | undefined,
): Placement | undefined {
  let best: { candidate: Candidate; taken: Taken } | undefined;
  for (const candidate of candidates) {
    if (candidate.launched >= options.instancesPerOfferMax) continue;
    const taken = tryOffer(app, candidate, around.placed, options.random);
    if (!taken.ok) rejections?.push({ app, offer: candidate.offer, reasons: taken.reasons });
    else if (best === undefined || compareHosts(candidate, best.candidate, around) < 0) best = { candidate, taken };
  }
  if (best === undefined) return undefined;
  const { candidate, taken } = best;
  candidate.left = taken.left;
  candidate.launched += 1;
  const { resources, hostPorts, ports } = taken;
  return { app, offer: candidate.offer, place: candidate.place, resources, hostPorts, ports };
}

function compareHosts(a: Candidate, b: Candidate, { perHost, load }: Surroundings): number {
  const of = (counts: ReadonlyMap<string, number>, candidate: Candidate) => counts.get(candidate.offer.hostname) ?? 0;
  return (
    of(perHost, a) - of(perHost, b) ||
    of(load, a) - of(load, b) ||
    cpusOf(b) - cpusOf(a) ||
    (a.offer.hostname < b.offer.hostname ? -1 : a.offer.hostname > b.offer.hostname ? 1 : 0)
  );
}

function cpusOf({ left }: Candidate): number {
  return left.reduce((sum, resource) => (resource.name === "cpus" ? sum + (resource.scalar?.value ?? 0) : sum), 0);
}

interface Taken {
  readonly ok: true;
  readonly resources: readonly Resource[];
  readonly left: readonly Resource[];
  readonly hostPorts: readonly number[];
  readonly ports: readonly number[];
}

function tryOffer(
  app: App,
  candidate: Candidate,
  placed: readonly Place[],
  random: () => number,
): Taken | { readonly ok: false; readonly reasons: readonly RejectReason[] } {
  const reasons: RejectReason[] = [];
  const allocated = candidate.offer.allocation_info?.role;
  if (allocated !== undefined && allocated !== app.role) reasons.push("UnfulfilledRole");
  if (!acceptsPlace(app.constraints, candidate.place, placed)) reasons.push("UnfulfilledConstraint");
  const roles = app.acceptedResourceRoles ?? ["*", app.role];
  let left: readonly Resource[] = candidate.left.filter((resource) => roles.includes(reservationRole(resource)));
  const foreign = candidate.left.filter((resource) => !roles.includes(reservationRole(resource)));
  const resources: Resource[] = [];
  for (const { name, reason, amount } of scalarNeeds(app)) {
    const taken = takeScalar(left, name, amount);
    if (taken === undefined) reasons.push(reason);
    else {
      resources.push(...taken.taken);
      left = taken.left;
    }
  }
  const wanted = portsOf(app);
  const ports = takePorts(
    left,
    wanted.flatMap(({ hostPort }) => (hostPort === undefined ? [] : [hostPort])),
    random,
  );
  if (ports === undefined) reasons.push("InsufficientPorts");
  if (reasons.length > 0 || ports === undefined) return { ok: false, reasons };
  return {
    ok: true,
    resources: [...resources, ...ports.taken],
    left: [...ports.left, ...foreign],
    hostPorts: ports.ports,
    ports: effectivePorts(wanted, ports.ports, random),
  };
}

function scalarNeeds(app: App): readonly { name: string; amount: number; reason: RejectReason }[] {
  return [
    { name: "cpus", amount: app.cpus, reason: "InsufficientCpus" },
    { name: "mem", amount: app.mem, reason: "InsufficientMemory" },
    { name: "disk", amount: app.disk, reason: "InsufficientDisk" },
    { name: "gpus", amount: app.gpus, reason: "InsufficientGpus" },
  ];
}

/** A container port of 0 without a host port is any port: the container has its address for itself. */
function effectivePorts(
  wanted: readonly AppPort[],
  hostPorts: readonly number[],
  random: () => number,
): readonly number[] {
  const remaining = [...hostPorts];
  return wanted.map(({ hostPort, containerPort }) => {
    if (hostPort !== undefined) return remaining.shift() ?? hostPort;
    if (containerPort !== undefined && containerPort !== 0) return containerPort;
    return 1025 + Math.floor(random() * (65_535 - 1025));
  });
}

/** Neither borrowed, nor shared, nor somebody's volume. */
function isPlain(resource: Resource): boolean {
  return (
    resource.revocable === undefined &&
    resource.shared === undefined &&
    resource.disk?.persistence === undefined &&
    resource.disk?.source === undefined
  );
}

function countBy(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) increment(counts, name);
  return counts;
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
