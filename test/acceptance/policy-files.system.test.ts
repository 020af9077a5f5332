/** A policy in a YAML file, applied, shown, applied again and deleted by calicoctl: real connections follow it. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { type Place, type Protocol, reaches } from "./connections.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;
const places: Place[] = [];

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-cctl" });
  await cluster.createNetwork("red");
  for (const [host, container] of [
    ["host1", "r1"],
    ["host2", "r2"],
  ] as const)
    places.push({ host, container, address: await cluster.run(host, container, "red") });
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const policy = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: no-web
spec:
  order: 10
  selector: has(red)
  ingress:
  - action: Deny
    protocol: TCP
    source: {selector: has(red)}
    destination: {ports: [80]}
  - {action: Allow, protocol: ICMP}
  egress:
  - action: Allow
`;

async function becomes(expected: Readonly<Partial<Record<Protocol, boolean>>>): Promise<void> {
  const [r1, r2] = places as [Place, Place];
  for (const [from, to] of [
    [r1, r2],
    [r2, r1],
  ] as const)
    for (const [protocol, reached] of Object.entries(expected)) {
      const cell = `${from.container} to ${to.container} by ${protocol}`;
      await eventually(cell, async () =>
        expect([cell, await reaches(cluster, from, to, protocol as Protocol)]).toEqual([cell, reached]),
      );
    }
}

const apply = (words: string, text: string) =>
  cluster.on("host1", "sh", "-c", `calicoctl ${words} -f - <<'END'\n${text}\nEND`);

test("a policy applied from YAML closes tcp/80 between two containers and leaves ping; deleted, all is open", async () => {
  await becomes({ tcp: true, icmp: true });
  const tried = await apply("apply --dry-run", policy);
  expect(tried).toStartWith("GlobalNetworkPolicy(no-web): created\n--- /dev/null\n");
  expect(tried).toEndWith("\nSuccessfully applied 1 'GlobalNetworkPolicy' resource(s) (dry run)\n");
  await becomes({ tcp: true, icmp: true });
  expect(await apply("apply", policy)).toBe("Successfully applied 1 'GlobalNetworkPolicy' resource(s)\n");
  await becomes({ tcp: false, icmp: true });
  // What it shows can be applied again; to another file it gives way at once.
  const shown = await cluster.on("host2", "calicoctl", "get", "gnp", "no-web", "-o", "yaml");
  await apply("apply", shown);
  await becomes({ tcp: false, icmp: true });
  await apply("replace", policy.replace("action: Deny", "action: Allow"));
  await becomes({ tcp: true, icmp: true });
  await apply("replace", policy);
  await becomes({ tcp: false, icmp: true });
  expect(await cluster.on("host2", "calicoctl", "delete", "gnp", "no-web")).toBe(
    "Successfully deleted 1 'GlobalNetworkPolicy' resource(s)\n",
  );
  await becomes({ tcp: true, icmp: true });
}, 120_000);
