/**
 * A container on several networks has an endpoint on each. Which interface a packet leaves by is its one default route's
 * affair, so membership cannot hang on the interface: the container is a member of all its networks at all its addresses.
 * Every one of its endpoint records therefore has the profiles of all of them, and names the others' addresses, which their
 * host accepts as sources (model/sibling-addresses.ts). Pure; a record without siblings comes out as it was first made.
 * The record of an interface that the default route is not by also names the addresses of the one that it is by.
 * Profiles somebody else has put on a record stay: what came from siblings is written down beside them.
 */
import { type IpAddress, networkAddress } from "../../../base/addresses.ts";
import { GATEWAY_ADDRESSES_ANNOTATION, SIBLING_ADDRESSES_ANNOTATION } from "../../../model/sibling-addresses.ts";
import { networksOf, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import { profileNameOf } from "../networks/network-profile.ts";
import { NETWORK_ANNOTATION } from "./endpoint-names.ts";
import type { EndpointState } from "./endpoint-state.ts";

/** Profiles of the record that are there because of its siblings. */
const SIBLING_PROFILES_ANNOTATION = "margay.io/sibling-profiles";

export interface RelateOptions {
  /** False: policy goes by labels alone. */
  readonly withProfiles: boolean;
}

export interface Sibling {
  readonly record: WorkloadEndpoint;
  /** The container's default route is by this interface. */
  readonly isGateway: boolean;
}

/** @param siblings all endpoints of one container that have an interface; answers their records in the same order. */
export function related(siblings: readonly Sibling[], options: RelateOptions): readonly WorkloadEndpoint[] {
  const gateways = siblings.filter(({ isGateway }) => isGateway);
  return siblings.map(({ record, isGateway }) => {
    const others = siblings.flatMap((other) => (other.record === record ? [] : [other.record]));
    // Two gateways: one for each address family, and not known which.
    const gatewayAddresses = isGateway || gateways.length > 1 ? [] : gateways.flatMap((one) => addressesOf(one.record));
    const own = ownProfiles(record);
    const profiles = options.withProfiles ? profilesOfNetworks(others).filter((name) => !own.includes(name)) : [];
    const addresses = others.flatMap(addressesOf).sort();
    return {
      ...record,
      metadata: {
        ...record.metadata,
        annotations: {
          ...withoutSiblings(record.metadata.annotations ?? {}),
          ...(profiles.length === 0 ? {} : { [SIBLING_PROFILES_ANNOTATION]: profiles.join() }),
          ...(addresses.length === 0 ? {} : { [SIBLING_ADDRESSES_ANNOTATION]: addresses.join() }),
          ...(gatewayAddresses.length === 0 ? {} : { [GATEWAY_ADDRESSES_ANNOTATION]: gatewayAddresses.join() }),
        },
      },
      spec: { ...record.spec, profiles: [...own, ...profiles] },
    };
  });
}

export function hasSiblings(record: WorkloadEndpoint): boolean {
  return record.metadata.annotations?.[SIBLING_ADDRESSES_ANNOTATION] !== undefined;
}

export interface JoinedEndpoint {
  readonly endpointId: string;
  readonly isGateway: boolean;
}

/** By the sandbox (the network namespace of one container) that they have an interface in. */
export function endpointsBySandbox(
  endpoints: ReadonlyMap<string, EndpointState>,
): ReadonlyMap<string, readonly JoinedEndpoint[]> {
  const joined = [...endpoints].filter(([, { sandboxKey }]) => sandboxKey !== "");
  const sandboxes = Map.groupBy(joined, ([, { sandboxKey }]) => sandboxKey);
  return new Map(
    [...sandboxes].map(([sandboxKey, group]) => [
      sandboxKey,
      group.map(([endpointId, { isGateway }]) => ({ endpointId, isGateway })),
    ]),
  );
}

function withoutSiblings(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const ours: readonly string[] = [
    SIBLING_PROFILES_ANNOTATION,
    SIBLING_ADDRESSES_ANNOTATION,
    GATEWAY_ADDRESSES_ANNOTATION,
  ];
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !ours.includes(name)));
}

function ownProfiles({ metadata, spec }: WorkloadEndpoint): readonly string[] {
  const fromSiblings = (metadata.annotations?.[SIBLING_PROFILES_ANNOTATION] ?? "").split(",");
  return (spec.profiles ?? []).filter((name) => !fromSiblings.includes(name));
}

/** Of networks whose names are known. */
function profilesOfNetworks(records: readonly WorkloadEndpoint[]): readonly string[] {
  const names = records.flatMap(({ metadata }) => metadata.annotations?.[NETWORK_ANNOTATION] ?? []);
  return [...new Set(names.map(profileNameOf))].sort();
}

function addressesOf(record: WorkloadEndpoint): readonly IpAddress[] {
  return networksOf(record).map(networkAddress);
}
