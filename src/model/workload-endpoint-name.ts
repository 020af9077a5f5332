/**
 * The name of a WorkloadEndpoint says which endpoint it is: four segments joined by a dash, dashes inside a segment
 * doubled (calico-datastore.md 2.2). A segment may neither begin nor end with a dash, which keeps decoding unambiguous.
 */

import { BadInput } from "../base/errors.ts";

export interface WorkloadEndpointIdentity {
  readonly node: string;
  readonly orchestrator: string;
  readonly endpoint: string;
  readonly workload?: string | undefined;
  readonly containerID?: string | undefined;
  readonly pod?: string | undefined;
}

/** @throws BadInput naming the missing or malformed field. */
export function workloadEndpointName(identity: WorkloadEndpointIdentity): string {
  return segmentsOf(identity)
    .map(([path, text]) => escapeSegment(text, path))
    .join("-");
}

/** What a name must start with to be of that node; `a-` also begins `a--b-...`, so results have to be checked. */
export function workloadEndpointNamePrefix(node: string, orchestrator?: string): string {
  const segments = [escapeSegment(node, "spec.node")];
  if (orchestrator !== undefined) segments.push(escapeSegment(orchestrator, "spec.orchestrator"));
  return `${segments.join("-")}-`;
}

/** The four segments, unescaped, or undefined if the name does not have exactly four. */
export function parseWorkloadEndpointName(name: string): readonly [string, string, string, string] | undefined {
  const [node, orchestrator, workload, endpoint, ...rest] = name.replaceAll("--", "\0").split("-");
  if (!node || !orchestrator || !workload || !endpoint || rest.length > 0) return undefined;
  const plain = (segment: string) => segment.replaceAll("\0", "-");
  return [plain(node), plain(orchestrator), plain(workload), plain(endpoint)];
}

function segmentsOf(
  identity: WorkloadEndpointIdentity,
): readonly (readonly [path: string, text: string | undefined])[] {
  const node = ["spec.node", identity.node] as const;
  const orchestrator = ["spec.orchestrator", identity.orchestrator] as const;
  const endpoint = ["spec.endpoint", identity.endpoint] as const;
  switch (identity.orchestrator) {
    case "k8s":
      return [node, orchestrator, ["spec.pod", identity.pod], endpoint];
    case "cni":
      return [node, orchestrator, ["spec.containerID", identity.containerID], endpoint];
    case "libnetwork":
      return [node, orchestrator, ["spec.workload", "libnetwork"], endpoint];
    default:
      return [node, orchestrator, ["spec.workload", identity.workload], endpoint];
  }
}

function escapeSegment(text: string | undefined, path: string): string {
  if (text === undefined || text === "") throw new BadInput(path, "field should be assigned", "a name");
  if (text.startsWith("-")) throw new BadInput(path, "field must not begin with a '-'", "a letter or digit first");
  if (text.endsWith("-")) throw new BadInput(path, "field must not end with a '-'", "a letter or digit last");
  return text.replaceAll("-", "--");
}
