/**
 * Service ports: numbers unique in the cluster that load balancers listen on; nothing here binds them. Each 0 takes
 * first a port the app had before and no longer lists, then the lowest free one (reference: marathon 6.3). Pure.
 */

import { type AppSpec, portsOf } from "./app.ts";

export interface PortRange {
  readonly min: number;
  /** Exclusive. */
  readonly max: number;
}

/** Undefined when no port is left. */
export function assignServicePorts<Spec extends AppSpec>(
  spec: Spec,
  previous: AppSpec | undefined,
  used: ReadonlySet<number>,
  range: PortRange,
): Spec | undefined {
  const wanted = portsOf(spec).map(({ servicePort }) => servicePort);
  const listed = new Set(wanted);
  const before = previous === undefined ? [] : portsOf(previous).map(({ servicePort }) => servicePort);
  const reusable = before.filter((port) => port !== 0 && !listed.has(port));
  const taken = new Set([...used, ...wanted, ...before]);
  let next = range.min;
  const assigned: number[] = [];
  for (const port of wanted) {
    if (port !== 0) {
      assigned.push(port);
      continue;
    }
    const kept = reusable.shift();
    if (kept !== undefined) {
      assigned.push(kept);
      continue;
    }
    while (next < range.max && taken.has(next)) next += 1;
    if (next >= range.max) return undefined;
    taken.add(next);
    assigned.push(next);
  }
  return withServicePorts(spec, assigned);
}

function withServicePorts<Spec extends AppSpec>(spec: Spec, ports: readonly number[]): Spec {
  if (spec.portDefinitions !== undefined) {
    return {
      ...spec,
      portDefinitions: spec.portDefinitions.map((definition, index) => ({
        ...definition,
        port: ports[index] ?? definition.port,
      })),
    };
  }
  if (spec.container?.portMappings === undefined) return spec;
  return {
    ...spec,
    container: {
      ...spec.container,
      portMappings: spec.container.portMappings.map((mapping, index) => ({
        ...mapping,
        servicePort: ports[index] ?? mapping.servicePort,
      })),
    },
  };
}
