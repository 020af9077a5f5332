/** `calicoctl endpoint`, byte for byte (calicoctl.md 7, numbers 28, 38 to 40), and rules as JSON (26). */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { encode } from "../../../model/resource.ts";
import {
  decodeWorkloadEndpoint,
  keyOfWorkloadEndpoint,
  newWorkloadEndpoint,
} from "../../../model/workload-endpoint.ts";
import { type CalicoctlCluster, calicoctlCluster } from "../testing/cluster.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const says = (stdout: string) => ({ code: 0, stdout, stderr: "" });
const refuses = (stdout: string) => ({ code: 1, stdout, stderr: "" });

interface Wanted {
  readonly host: string;
  readonly workload: string;
  readonly id: string;
  readonly profiles?: readonly string[];
  readonly addresses?: readonly string[];
}

async function endpoint(
  at: CalicoctlCluster,
  { host, workload, id, profiles = [], addresses = ["192.168.0.1"] }: Wanted,
) {
  const record = newWorkloadEndpoint(
    {
      namespace: "default",
      node: host,
      orchestrator: "docker",
      workload,
      endpoint: id,
      interfaceName: `cali${id.slice(0, 11)}`,
      mac: "aa:bb:cc:dd:ee:01",
      addresses: addresses.map((text) => parseIpAddress(text)),
      profiles,
    },
    stamp,
  );
  await at.store.put(keyOfWorkloadEndpoint(record), encode(record));
  return async () =>
    decodeWorkloadEndpoint((await at.store.get(keyOfWorkloadEndpoint(record)))?.value ?? "").spec.profiles;
}

test("38: endpoints are counted by host and orchestrator, host first", async () => {
  await using at = await calicoctlCluster();
  await endpoint(at, { host: "node2", workload: "w1", id: "e1" });
  await endpoint(at, { host: "node1", workload: "w2", id: "e2" });
  await endpoint(at, { host: "node1", workload: "w2", id: "e3" });
  const { code, stdout } = await at.run("endpoint show");
  expect(code).toBe(0);
  expect(stdout).toBe(
    [
      "+----------+-----------------+---------------------+---------------------+",
      "| Hostname | Orchestrator ID | Number of Workloads | Number of Endpoints |",
      "+----------+-----------------+---------------------+---------------------+",
      "|  node1   |      docker     |          1          |          2          |",
      "|  node2   |      docker     |          1          |          1          |",
      "+----------+-----------------+---------------------+---------------------+",
      "\n",
    ].join("\n"),
  );
  const cells = (stdout.split("\n")[3] ?? "").split("|").slice(1, -1);
  expect(cells.map((cell) => cell.trim())).toEqual(["node1", "docker", "1", "2"]);
  expect((await at.run("endpoint show --host=node3")).stdout).toBe(stdout.replace(/\| {2}node[12] .*\n/g, ""));
});

test("28, 38: the detailed tables show addresses below each other and profiles by their classic names", async () => {
  await using at = await calicoctlCluster();
  for (const name of ["db", "Web_1"]) await at.run(`profile add ${name}`);
  await endpoint(at, { host: "node1", workload: "8d3f0c", id: "4e1f9ad2", addresses: ["192.168.0.1", "192.168.0.2"] });
  await at.run("endpoint 4e1f9ad2 profile set db Web_1");
  expect((await at.run("endpoint show --detailed --work=8d3f0c --endpoint=4e1f9ad2")).stdout).toBe(
    [
      "+----------+-----------------+-------------+-------------+----------------+-------------------+----------+--------+",
      "| Hostname | Orchestrator ID | Workload ID | Endpoint ID |   Addresses    |        MAC        | Profiles | State  |",
      "+----------+-----------------+-------------+-------------+----------------+-------------------+----------+--------+",
      "|  node1   |      docker     |    8d3f0c   |   4e1f9ad2  | 192.168.0.1/32 | aa:bb:cc:dd:ee:01 | db,Web_1 | active |",
      "|          |                 |             |             | 192.168.0.2/32 |                   |          |        |",
      "+----------+-----------------+-------------+-------------+----------------+-------------------+----------+--------+",
      "\n",
    ].join("\n"),
  );
  await at.run("profile add lonely");
  const detailed = (await at.run("profile show --detailed")).stdout;
  expect(detailed).toMatch(/\|\s+db\s+\| node1 \|\s+docker\s+\|\s+8d3f0c\s+\|\s+4e1f9ad2\s+\| active \|/);
  expect(detailed).toMatch(/\| lonely \|\s+None\s+(\|\s+None\s+){4}\|/);
});

test("39: append is for profiles that exist, once each, and that are not there yet", async () => {
  await using at = await calicoctlCluster();
  for (const name of ["web", "db"]) await at.run(`profile add ${name}`);
  const profiles = await endpoint(at, { host: "node1", workload: "w", id: "e1" });
  const run = (words: string) => at.run(`endpoint e1 profile ${words}`);
  expect(await run("append web web")).toEqual(refuses("Profile with name web was specified more than once.\n"));
  expect(await run("append web nosuch")).toEqual(refuses("Profile with name nosuch was not found.\n"));
  expect(await run("show")).toEqual(says("Endpoint has no profiles associated with it.\n"));
  expect(await run("append web db")).toEqual(says("Profile(s) web, db appended.\n\n"));
  expect(await profiles()).toEqual(["web", "db"]);
  expect(await run("append db")).toEqual(says("Profile db is already in endpoint profile list\n\n"));
  expect(await run("show")).toEqual(says("+------+\n| Name |\n+------+\n|  db  |\n| web  |\n+------+\n\n"));
  expect(await run("remove web db")).toEqual(says("Profile(s) web,db removed.\n\n"));
  expect(await run("remove web")).toEqual(says("Profile web is not in endpoint profile list\n\n"));
  for (const change of ["append", "remove"]) expect(await run(change)).toEqual(says("No profile specified.\n\n"));
});

test("40: set replaces the list, and without names empties it", async () => {
  await using at = await calicoctlCluster();
  for (const name of ["web", "db"]) await at.run(`profile add ${name}`);
  const profiles = await endpoint(at, { host: "node1", workload: "w", id: "e1", profiles: ["old"] });
  expect(await at.run("endpoint e1 profile set web db")).toEqual(says("Profile(s) set to web, db.\n\n"));
  expect(await profiles()).toEqual(["web", "db"]);
  expect(await at.run("endpoint e1 profile set")).toEqual(says("Removed all profiles from endpoint.\n\n"));
  expect(await profiles()).toEqual([]);
});

const unknownEndpoint = "Endpoint e9 is unknown to Calico.\n\n";
const notFound = "Endpoint could not be found.\n\n";
const ambiguous =
  "More than 1 endpoint matches the provided criteria.  Please provide additional\nparameters to refine the search.\n\n";
const badName =
  "Profile names must be < 40 character long and can only contain numbers, letters,\ndots, dashes and underscores.\n\n";
const refused: readonly [line: string, said: string][] = [
  ["endpoint e9 profile append web", `Failed to append profiles to endpoint.\n\n${unknownEndpoint}`],
  ["endpoint e9 profile set web", `Failed to set profiles for endpoint.\n\n${notFound}`],
  ["endpoint e9 profile remove web", `Failed to remove profiles from endpoint.\n\n${notFound}`],
  ["endpoint e9 profile show", `Failed to list profiles in endpoint.\n\n${unknownEndpoint}`],
  ["endpoint eth0 profile append web", ambiguous],
  ["endpoint eth0 profile set web", ambiguous],
  ["endpoint eth0 profile show", ambiguous],
  ["endpoint e1 profile append a/b web", badName],
];
for (const [line, said] of refused) {
  test(`39: refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    await at.run("profile add web");
    await endpoint(at, { host: "node1", workload: "w", id: "e1" });
    for (const host of ["node1", "node2"]) await endpoint(at, { host, workload: "w", id: "eth0" });
    const before = await at.store.list("/");
    expect(await at.run(line)).toEqual(refuses(said));
    expect(await at.store.list("/")).toEqual(before);
    expect((await at.run("endpoint eth0 profile append --host=node2 web")).code).toBe(0);
  });
}

for (const line of [
  "endpoint",
  "endpoint shwo",
  "endpoint e1",
  "endpoint e1 profile",
  "endpoint show --bogus=1",
  "endpoint e1 profile show x",
]) {
  test(`a usage error: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(line);
    expect([said.code, said.stdout]).toEqual([1, ""]);
    expect(said.stderr).toContain("Usage:\n  calicoctl endpoint show");
  });
}

test("26: rules written by `rule json` and read by `rule update` of another profile are the same", async () => {
  await using at = await calicoctlCluster();
  await at.run("profile add a");
  await at.run("profile add b");
  const rules = [
    "inbound allow tcp from ports 1:80,443 tag a cidr 10.0.0.0/8 to ports 22",
    "inbound deny icmp type 8 code 0",
    "outbound deny icmpv6 to cidr fd00::/8",
    "outbound allow udp to tag b",
  ];
  for (const rule of rules) expect((await at.run(`profile a rule add ${rule}`)).code).toBe(0);
  const json = await at.run("profile a rule json");
  expect(json.stdout).toStartWith(
    '{\n  "inbound_rules": [\n    {\n      "action": "allow",\n      "src_tag": "a"\n    },\n',
  );
  expect(json.stdout).toEndWith("  ]\n}\n\n");
  expect(await at.run("profile b rule update", json.stdout)).toEqual(says("Successfully updated rules on profile b\n"));
  expect((await at.run("profile b rule show")).stdout).toBe((await at.run("profile a rule show")).stdout);
  const wrong: readonly [string, RegExp][] = [
    ["{", /^ValueError: /],
    ["[]", /^ValueError: /],
    ['{"inbound_rules": []}', /^KeyError: 'outbound_rules'/],
    [
      '{"inbound_rules": [{"action": "allow", "src_tga": "x"}], "outbound_rules": []}',
      /^KeyError: 'Key src_tga is not allowed on Rule.'/,
    ],
    ['{"inbound_rules": [{"action": "permit"}], "outbound_rules": []}', /^inbound_rules\[0\]\.action/],
    ['{"inbound_rules": [{"action": "allow", "src_net": "x"}], "outbound_rules": []}', /"x" is no CIDR/],
    ['{"inbound_rules": [{"action": "allow", "icmp_type": 256}], "outbound_rules": []}', /Invalid ICMP type/],
    ['{"inbound_rules": [{"action": "allow", "protocol": "tcp", "dst_ports": ["x:y:z"]}], "outbound_rules": []}', /./],
    ['{"id": "a", "inbound_rules": [], "outbound_rules": []}', /are those of profile a/],
  ];
  const before = await at.store.list("/");
  for (const [text, stderr] of wrong) {
    const said = await at.run("profile b rule update", text);
    expect([text, said.code, said.stdout]).toEqual([text, 1, ""]);
    expect(said.stderr).toMatch(stderr);
  }
  expect(await at.store.list("/")).toEqual(before);
});
