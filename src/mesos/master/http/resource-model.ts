/** Resources as the unversioned endpoints show them: `{"cpus":4,"gpus":0,"mem":6835,"disk":35000,"ports":"[...]"}`. */

import { formatRanges } from "../../protocol/ranges.ts";
import { addResources, type Resources, reservationRole, scalarOf } from "../../protocol/resources.ts";

const scalarsAlwaysShown = ["cpus", "gpus", "mem", "disk"] as const;

export type ResourceModel = Readonly<Record<string, number | string>>;

export function resourceModel(resources: Resources): ResourceModel {
  const model: Record<string, number | string> = {};
  const firm = resources.filter((resource) => resource.revocable === undefined);
  for (const name of scalarsAlwaysShown) model[name] = scalarOf(firm, name);
  for (const resource of resources) {
    const name = resource.revocable === undefined ? resource.name : `${resource.name}_revocable`;
    if (resource.type === "SCALAR") {
      const same = resources.filter((one) => (one.revocable === undefined) === (resource.revocable === undefined));
      model[name] = scalarOf(same, resource.name);
    } else if (resource.type === "RANGES") {
      const ranges = resources.filter((one) => one.name === resource.name).flatMap((one) => one.ranges?.range ?? []);
      model[name] = formatRanges(ranges);
    } else {
      model[name] = `{${(resource.set?.item ?? []).join(", ")}}`;
    }
  }
  return model;
}

export function sumOf(parts: Iterable<{ readonly resources: Resources }>): Resources {
  let sum: Resources = [];
  for (const part of parts) sum = addResources(sum, part.resources);
  return sum;
}

export function byReservation(resources: Resources): {
  unreserved: Resources;
  reserved: Readonly<Record<string, Resources>>;
} {
  const reserved: Record<string, Resources> = {};
  for (const resource of resources) {
    const role = reservationRole(resource);
    if (role !== "*") reserved[role] = addResources(reserved[role] ?? [], [resource]);
  }
  return { unreserved: resources.filter((resource) => reservationRole(resource) === "*"), reserved };
}
