/** Groups of the first release (calicoctl.md 7, numbers 49 to 51), and what every seed command refuses. */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { profileKey } from "../../../model/keys.ts";
import { normalizedName } from "../../../model/normalized-name.ts";
import { decodeProfile } from "../../../model/profile.ts";
import { encode } from "../../../model/resource.ts";
import {
  decodeWorkloadEndpoint,
  keyOfWorkloadEndpoint,
  newWorkloadEndpoint,
} from "../../../model/workload-endpoint.ts";
import { calicoctlCluster } from "../testing/cluster.ts";

const says = (stdout: string) => ({ code: 0, stdout, stderr: "" });
const refuses = (stdout: string, code = 1) => ({ code, stdout, stderr: "" });

test("50: a group accepts from its members, sends anywhere in IPv4, and is made once", async () => {
  await using at = await calicoctlCluster();
  const made = await at.run("addgroup web --etcd=10.0.0.1:4001");
  expect(at.opened).toEqual(["http://10.0.0.1:4001"]);
  const [, id = ""] = /^Created group web with ID ([0-9a-f]{32})\n$/.exec(made.stdout) ?? [];
  expect(made).toEqual(says(`Created group web with ID ${id}\n`));
  const { spec, metadata } = decodeProfile((await at.store.get(profileKey("web")))?.value ?? "");
  expect(spec).toEqual({
    labelsToApply: { web: "" },
    ingress: [{ action: "Allow", source: { selector: "has(web)" } }],
    egress: [
      { action: "Allow", destination: { selector: "has(web)" } },
      { action: "Allow", destination: { nets: ["0.0.0.0/0"] } },
    ],
  });
  expect(metadata.annotations).toEqual({ "margay.io/group-id": id });
  expect(await at.run("addgroup web")).toEqual(says("Group web already exists.\n"));
  expect((await at.run("profile web rule show")).stdout).toBe(
    "Inbound rules:\n   1 allow from tag web\nOutbound rules:\n   1 allow to tag web\n   2 allow to cidr 0.0.0.0/0\n",
  );
});

test("50: groups are shown under the names users gave them; a profile is none", async () => {
  await using at = await calicoctlCluster();
  const empty = "+----+------+\n| ID | Name |\n+----+------+\n+----+------+\n";
  expect(await at.run("showgroups")).toEqual(says(empty));
  await at.run("group add GROUP_A_C_E");
  await at.run("profile add plain");
  const shown = (await at.run("showgroups")).stdout;
  expect(shown).toMatch(/^\| +[0-9a-f]{32} +\| GROUP_A_C_E \|$/m);
  expect(shown).not.toContain("plain");
  expect(await at.run("addgroup plain")).toEqual(refuses("There is a profile plain already, which is no group.\n"));
  expect(await at.run("removegroup plain")).toEqual(refuses("Couldn't find group with name plain\n"));
});

test("removing a group leaves its members in their other groups", async () => {
  await using at = await calicoctlCluster();
  for (const name of ["Blue", "green"]) await at.run(`addgroup ${name}`);
  const record = newWorkloadEndpoint(
    {
      namespace: "default",
      node: "host1",
      orchestrator: "docker",
      workload: "w",
      endpoint: "e",
      interfaceName: "calie",
      addresses: [parseIpAddress("10.0.0.1")],
      profiles: [normalizedName("Blue"), "green"],
    },
    { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 },
  );
  const key = keyOfWorkloadEndpoint(record);
  await at.store.put(key, encode(record));
  expect((await at.run("removegroup Blue")).stdout).toMatch(/^Deleted group Blue with ID [0-9a-f]{32}\n$/);
  expect(decodeWorkloadEndpoint((await at.store.get(key))?.value ?? "").spec.profiles).toEqual(["green"]);
  expect(await at.store.get(profileKey(normalizedName("Blue")))).toBeUndefined();
  expect(await at.run("removegroup Blue")).toEqual(refuses("Couldn't find group with name Blue\n"));
});

test("49: a node before any master ends with a word", async () => {
  await using at = await calicoctlCluster();
  const said = await at.run("node --ip=10.0.0.11 --etcd=10.0.0.10:4001", { isRoot: true });
  expect(said).toEqual(refuses("No master can be found. Exiting\n"));
});

const noDocker = "Unable to run docker commands. Is the docker daemon running?\n\n";
const badAddress = "Invalid IPv4 address specified with --ip argument.\n";
const asRoot = (why: string) => `calicoctl must be run as root: ${why}\n`;
const resets = asRoot("it stops the node and changes the kernel of this host");
const refused: readonly [line: string, stdout: string, code: number, stderr: RegExp][] = [
  ["addgroup a/b", "Group names can only contain numbers, letters, dots, dashes and underscores.\n", 1, /^$/],
  ["addtogroup c1 web", noDocker, 1, /^$/],
  ["removegroup a/b", "Couldn't find group with name a/b\n", 1, /^$/],
  ["master --ip=1.2.3", badAddress, 1, /^$/],
  ["master --ip=::1", badAddress, 1, /^$/],
  ["master --ip=1.1.1.1", asRoot("it starts the store of this host"), 2, /^$/],
  ["node --ip=bad --etcd=1.1.1.1:4001", badAddress, 1, /^$/],
  ["node --ip=1.1.1.1 --etcd=1.1.1.1:4001", asRoot("it starts the node of this host"), 2, /^$/],
  ["reset", resets, 2, /^$/],
  ["reset --force", resets, 2, /^$/],
  ["addgroup", "", 1, /^Usage:\n {2}calicoctl addgroup/],
  ["addgroup a b", "", 1, /^Usage:/],
  ["addtogroup c1", "", 1, /^Usage:/],
  ["showgroups x", "", 1, /^Usage:/],
  ["removegroup", "", 1, /^Usage:/],
  ["master", "", 1, /^Usage:\n {2}calicoctl master/],
  ["master --ip", "", 1, /^Usage:/],
  ["master --ip=1.1.1.1 x", "", 1, /^Usage:/],
  ["reset x", "", 1, /^Usage:\n {2}calicoctl reset/],
  ["node --etcd=1.1.1.1:4001", "", 1, /^Usage:\n {2}calicoctl node --ip=<IP>/],
  ["addgroup web --etcd", "", 1, /--etcd needs a value/],
];
for (const [line, stdout, code, stderr] of refused) {
  test(`refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const before = await at.store.list("/");
    const said = await at.run(line);
    expect([said.stdout, said.code]).toEqual([stdout, code]);
    expect(said.stderr).toMatch(stderr);
    expect(await at.store.list("/")).toEqual(before);
  });
}

test("status with --etcd has the four parts of the first release", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("status --etcd=10.0.0.1:4001")).toEqual(
    says(
      "Currently configured master is None\nNo calico containers appear to be running\n" +
        "Skipping felix version information as Calico node isn't running\nCouldn't collect BGP Peer information\n",
    ),
  );
});
