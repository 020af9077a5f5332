/** Two hosts with three endpoints, for tests of what explain says: a and b are on h1, c is on h2. */
import { parseIpAddress } from "../../base/addresses.ts";
import { readCluster } from "../explain/cluster-model.ts";
import { explainFlow, type ModelFlow, partyAt } from "../explain/flow.ts";
import type { HostView } from "../explain/host-endpoint.ts";
import { packetOf, parseTraffic } from "../explain/packet.ts";
import { block, type Documents, endpoint, node, pool, profile } from "./cluster-documents.ts";

export const addresses = {
  a: "10.0.0.1",
  b: "10.0.0.2",
  c: "10.0.0.5",
  outside: "9.9.9.9",
  h1: "172.31.0.1",
  h2: "172.31.0.2",
};
export type Name = keyof typeof addresses;

/** Nodes, their pool and its blocks. */
export const hosts: Documents = {
  ...pool("10.0.0.0/16", true),
  ...node("h1", "172.31.0.1/24"),
  ...node("h2", "172.31.0.2/24"),
  ...block("10.0.0.0/30", "h1", { 1: "h1", 2: "h1" }),
  ...block("10.0.0.4/30", "h2", { 1: "h2" }),
};

export const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });

/** The three endpoints. */
export function members(
  profiles: readonly string[],
  labels: Readonly<Record<string, Record<string, string>>> = {},
): Documents {
  return {
    ...endpoint("a", addresses.a, { profiles, labels: labels.a ?? {} }),
    ...endpoint("b", addresses.b, { profiles, labels: labels.b ?? {} }),
    ...endpoint("c", addresses.c, { host: "h2", profiles, labels: labels.c ?? {} }),
  };
}

export function explainBetween(
  documents: Documents,
  [from, to]: readonly [from: Name, to: Name],
  port: string,
  { sourcePort = 50_000, views }: { readonly sourcePort?: number; readonly views?: ReadonlyMap<string, HostView> } = {},
): ModelFlow {
  const model = readCluster(Object.entries(documents));
  const [source, destination] = [parseIpAddress(addresses[from]), parseIpAddress(addresses[to])];
  const packet = packetOf(source, destination, parseTraffic(port, "--port"), sourcePort);
  return explainFlow(model, partyAt(model, source), partyAt(model, destination), packet, views);
}
