/**
 * Resources as the unversioned endpoints print them (reference/mesos-api.md 6): the four scalars always there, ranges as
 * `[a-b, c-d]`, sets as `{a, b}`. Pure.
 */

import { formatRanges } from "../../protocol/ranges.ts";
import type { Resource } from "../../protocol/resource-info.ts";
import { reservationRole, scalarOf } from "../../protocol/resources.ts";
import type { Attribute } from "../../protocol/values.ts";

export type ResourceModel = Record<string, number | string>;

export function resourceModel(resources: readonly Resource[]): ResourceModel {
  const model: ResourceModel = { cpus: 0, gpus: 0, mem: 0, disk: 0 };
  for (const { name, type } of resources) {
    const same = resources.filter((one) => one.name === name);
    if (type === "SCALAR") model[name] = scalarOf(resources, name);
    else if (type === "RANGES") model[name] = formatRanges(same.flatMap((one) => one.ranges?.range ?? []));
    else model[name] = `{${same.flatMap((one) => one.set?.item ?? []).join(", ")}}`;
  }
  return model;
}

export function reservedModels(resources: readonly Resource[]): Record<string, ResourceModel> {
  const roles = new Set(resources.map(reservationRole).filter((role) => role !== "*"));
  return Object.fromEntries(
    [...roles].map((role) => [role, resourceModel(resources.filter((one) => reservationRole(one) === role))]),
  );
}

export function attributesModel(attributes: readonly Attribute[]): Record<string, number | string> {
  return Object.fromEntries(
    attributes.map(({ name, scalar, text, ranges }) => [
      name,
      scalar?.value ?? text?.value ?? formatRanges(ranges?.range ?? []),
    ]),
  );
}
