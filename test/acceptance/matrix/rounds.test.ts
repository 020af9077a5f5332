/**
 * The rounds of the connectivity matrix without packets: what the oracle expects of a cell is what `margay explain` derives
 * from the same resources. The two share nothing but the resources.
 */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../src/base/addresses.ts";
import { readCluster } from "../../../src/policy/explain/cluster-model.ts";
import { explainFlow, partyAt } from "../../../src/policy/explain/flow.ts";
import { packetOf, parseTraffic } from "../../../src/policy/explain/packet.ts";
import {
  block,
  type Documents,
  felixConfiguration,
  node,
  pool,
} from "../../../src/policy/testing/cluster-documents.ts";
import { documentsOf } from "../../../src/policy/testing/random-clusters.ts";
import { allowed, arrivesAtFirst, type Cell, cellsOf, type Endpoint } from "./cells.ts";
import { effectsIn, randomRounds } from "./rounds.ts";

const hostAddresses = {
  host1: { 4: "172.31.0.11", 6: "fd00:32::1" },
  host2: { 4: "172.31.0.12", 6: "fd00:32::2" },
} as const;
const endpoints = (["host1", "host2"] as const).flatMap((host, at): Endpoint[] => [
  ...["red", "green", "blue"].map((network, number) => ({
    kind: "container" as const,
    host,
    container: `${network}-${host}`,
    network,
    addresses: { 4: `10.0.${at}.${number + 1}`, 6: `fd80::${at}:${number + 1}` },
    hostAddresses: hostAddresses[host],
  })),
  {
    kind: "host" as const,
    host,
    container: `self-${host}`,
    network: "",
    addresses: hostAddresses[host],
    hostAddresses: hostAddresses[host],
  },
]);

/** What is around the policies: hosts, pools, and blocks that all addresses lie in. */
function surroundings(): Documents {
  const blocks = Object.keys(hostAddresses).map((host, at) =>
    block(`10.0.${at}.0/30`, host, { 1: host, 2: host, 3: host }),
  );
  const nodes = Object.entries(hostAddresses).map(([name, addresses]): Documents => {
    const [[key = "", text = ""] = []] = Object.entries(node(name, `${addresses[4]}/24`));
    const document = JSON.parse(text);
    document.spec.bgp.ipv6Address = `${addresses[6]}/64`;
    return { [key]: JSON.stringify(document) };
  });
  return Object.assign(
    {},
    ...nodes,
    ...blocks,
    pool("10.0.0.0/16", true),
    felixConfiguration("default", { defaultEndpointToHostAction: "Return" }),
  );
}

/** "unreachable" cannot be: an IPv6 address has no block here, which is not the subject. */
function explained(model: ReturnType<typeof readCluster>, { from, to, family, kind }: Cell): boolean {
  const [source, destination] = [parseIpAddress(from.addresses[family]), parseIpAddress(to.addresses[family])];
  const packet = packetOf(source, destination, parseTraffic(kind, ""), 40_000);
  const flow = explainFlow(model, partyAt(model, source), partyAt(model, destination), packet);
  return flow.hosts.every(({ verdict }) => verdict === "allow");
}

test("oracle and explain say the same of every cell's first packet, host endpoints included", () => {
  const cells = cellsOf(endpoints);
  const counts = { open: 0, unanswered: 0 };
  for (const seed of [1, 2])
    for (const round of randomRounds(endpoints, seed, 3)) {
      const model = readCluster(Object.entries({ ...surroundings(), ...documentsOf(round) }));
      expect([...model.invalid]).toEqual([]);
      for (const cell of cells) {
        const { from, to, family, kind } = cell;
        const name = `seed ${seed}: ${from.container} to ${to.container} by ${kind} over IPv${family}`;
        const expected = arrivesAtFirst(round, cell);
        if (explained(model, cell) !== expected) throw new Error(`${name}: the oracle says ${expected}`);
        const isOpen = allowed(round, cell);
        if (isOpen) counts.open++;
        if (isOpen && !expected) throw new Error(`${name}: an answer without a question`);
        if (expected && !isOpen) counts.unanswered++;
      }
    }
  expect(counts.open).toBeGreaterThan(1_000);
  expect(counts.unanswered).toBeGreaterThan(10);
});

test("the rounds of a run show host endpoints and untracked policy closing every way, and opening between hosts", () => {
  const cells = cellsOf(endpoints);
  const seen = randomRounds(endpoints, 3, 6).map((round) => effectsIn(round, cells));
  const all = [...seen.reduce((before, one) => before.union(one), new Set<string>())];
  const ways = ["container to container", "container to host", "host to container", "host to host"];
  expect(all).toEqual(expect.arrayContaining(ways.flatMap((way) => [`hosts close ${way}`, `untracked closes ${way}`])));
  expect(all).toEqual(expect.arrayContaining(["untracked opens host to host", "untracked opens container to host"]));
});
