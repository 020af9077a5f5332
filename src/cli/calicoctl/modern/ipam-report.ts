/** The report that `ipam check -o` writes and `ipam release --from-report` reads, in the form of Calico's (calicoctl.md 4.7). */

import { z } from "zod";
import { parseIpAddress } from "../../../base/addresses.ts";
import type { InspectedAddress } from "../../../ipam/inspection.ts";
import type { AddressRelease } from "../../../ipam/ipam-requests.ts";
import { stringifyJson } from "../../../model/json.ts";
import { decode } from "../../../model/resource.ts";
import { clientVersion } from "./client-version.ts";
import type { CheckedPlan } from "./ipam-plan.ts";

export function reportOf({ cluster, findings }: CheckedPlan): string {
  const { addresses, emptyHandles } = findings;
  return stringifyJson(
    {
      version: clientVersion,
      clusterGUID: cluster?.information.spec.clusterGUID ?? "",
      datastoreLocked: cluster?.locked === true,
      clusterInformationRevision: String(cluster?.revision ?? 0),
      clusterType: cluster?.information.spec.clusterType ?? "",
      allocations: Object.fromEntries(addresses.map((one) => [one.address, [allocationOf(one)]])),
      leakedHandles: emptyHandles.map(({ handle, revision }) => ({
        ID: handle,
        UID: null,
        Revision: String(revision),
      })),
    },
    2,
  );
}

function allocationOf(one: InspectedAddress) {
  const { address, handle = "", sequence, attributes, inUse, young, borrowed, user } = one;
  return {
    ip: address,
    handle,
    ...(sequence === undefined ? {} : { sequenceNumber: sequence }),
    pod: attributes.pod ?? "",
    namespace: attributes.namespace ?? "",
    node: attributes.node ?? "",
    type: attributes.type ?? "",
    creationTimestamp: attributes.timestamp ?? "",
    // What may be about to be used is not to be released by anybody who reads this.
    inUse: inUse || young,
    borrowed,
    coolingDown: false,
    owners: user === undefined ? [] : [user],
  };
}

const Report = z.looseObject({
  version: z.string(),
  clusterGUID: z.string(),
  datastoreLocked: z.boolean(),
  clusterInformationRevision: z.string(),
  allocations: z.record(
    z.string(),
    z.array(
      z.looseObject({
        ip: z.string(),
        handle: z.string().optional(),
        sequenceNumber: z.union([z.int(), z.bigint()]).optional(),
        inUse: z.boolean().optional(),
        coolingDown: z.boolean().optional(),
      }),
    ),
  ),
  leakedHandles: z.array(z.looseObject({ ID: z.string(), Revision: z.string() })).nullish(),
});

export interface LeakReport {
  readonly version: string;
  readonly clusterGuid: string;
  readonly revision: string;
  /** By what an allocation is told apart from a later one. */
  readonly leaked: ReadonlyMap<string, AddressRelease>;
  readonly handles: ReadonlyMap<string, number>;
}

/** @throws BadInput */
export function parseReport(text: string, file: string): LeakReport {
  const report = decode(Report, text, file);
  const leaked = new Map<string, AddressRelease>();
  for (const { ip, handle, sequenceNumber, inUse, coolingDown } of Object.values(report.allocations).flat()) {
    if (inUse === true || coolingDown === true) continue;
    const address = parseIpAddress(ip, `${file}.allocations`);
    leaked.set(`${address} ${handle ?? ""} ${sequenceNumber ?? ""}`, {
      address,
      handle: handle || undefined,
      sequence: sequenceNumber === undefined ? undefined : BigInt(sequenceNumber),
    });
  }
  return {
    version: report.version,
    clusterGuid: report.clusterGUID,
    revision: report.clusterInformationRevision,
    leaked,
    handles: new Map((report.leakedHandles ?? []).map(({ ID, Revision }) => [ID, Number(Revision)])),
  };
}
