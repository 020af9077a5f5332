/** What explain says of requests of an OpenStack's endpoints to their host. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import {
  clusterInformation,
  type Documents,
  endpoint,
  felixConfiguration,
  node,
  pool,
  profile,
} from "../testing/cluster-documents.ts";
import { readCluster } from "./cluster-model.ts";
import { explainFlow, partyAt } from "./flow.ts";
import { packetOf, parseTraffic } from "./packet.ts";

const guest = "10.0.0.1";
const host = "172.31.0.1";
const asked = "169.254.169.254";
/** An endpoint that may send only to port 8775, and a closed one. */
const base: Documents = {
  ...pool("10.0.0.0/16"),
  ...node("h1", `${host}/24`),
  ...node("h2", "172.31.0.2/24"),
  ...profile("p", { ingress: [], egress: [{ action: "Allow", protocol: "TCP", destination: { ports: [8775] } }] }),
  ...endpoint("a", guest, { profiles: ["p"] }),
  ...endpoint("b", "10.0.0.2", { profiles: ["gone"] }),
};
const cloud = { ...base, ...clusterInformation("openstack") };
const at = (metadataAddr: string): Documents => ({ ...cloud, ...felixConfiguration("default", { metadataAddr }) });

type Case = readonly [name: string, documents: Documents, traffic: string, to: string, verdict: string, says: string];

const cases: readonly (readonly [...Case, sent?: { readonly source?: string; readonly sourcePort?: number }])[] = [
  ["DNS", cloud, "udp/53", host, "allowed", "DNS service of their host"],
  ["DNS of another host", cloud, "udp/53", "172.31.0.2", "denied", "outbound denied"],
  ["DNS by TCP", cloud, "tcp/53", host, "denied", "outbound denied"],
  ["DNS without an OpenStack", base, "udp/53", host, "denied", "outbound denied"],
  ["DHCP", cloud, "udp/67", "255.255.255.255", "allowed", "DHCP", { source: "0.0.0.0", sourcePort: 68 }],
  ["DHCP from another port", cloud, "udp/67", "255.255.255.255", "denied", "source check", { source: "0.0.0.0" }],
  ["DHCP without an OpenStack", base, "udp/67", host, "denied", "source check", { source: "0.0.0.0", sourcePort: 68 }],
  ["renewing a lease", cloud, "udp/67", host, "allowed", "DHCP service", { sourcePort: 68 }],
  ["a closed endpoint", cloud, "udp/53", host, "denied", "profile gone does not exist", { source: "10.0.0.2" }],
  ["metadata", cloud, "tcp/80", asked, "allowed", "metadata service"],
  ["metadata at the host's address", at(host), "tcp/80", asked, "allowed", "metadata service"],
  ["the service itself at the host's address", at(host), "tcp/8775", host, "allowed", "metadata service"],
  ["metadata at another machine is policy's", at("9.9.9.9"), "tcp/80", asked, "allowed", "rule 1 of profile p"],
  ["metadata at itself", at(asked), "tcp/80", asked, "allowed", "rule 1 of profile p"],
  ["metadata by a name", at("metadata.example"), "tcp/80", asked, "allowed", "metadata service"],
  ["no metadata", at("None"), "tcp/80", asked, "denied", "outbound denied"],
  ["another port of that address", cloud, "tcp/443", asked, "denied", "outbound denied"],
  ["the host's loopback", cloud, "tcp/8775", "127.0.0.1", "denied", "host's loopback"],
];
for (const [name, documents, traffic, to, verdict, says, { source = guest, sourcePort = 50_000 } = {}] of cases)
  test(`OpenStack: ${name}: ${verdict}`, () => {
    const model = readCluster(Object.entries(documents));
    const sender = partyAt(model, parseIpAddress(source === "0.0.0.0" ? guest : source));
    const destination = parseIpAddress(to);
    const packet = packetOf(parseIpAddress(source), destination, parseTraffic(traffic, ""), sourcePort);
    const flow = explainFlow(model, sender, partyAt(model, destination), packet);
    expect([flow.verdict as string, flow.reason]).toEqual([verdict, expect.stringContaining(says)]);
    // Each host is asked about the packet as it comes there.
    expect(flow.hosts[0]?.packet).toEqual(packet);
  });
