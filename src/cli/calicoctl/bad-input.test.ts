/**
 * Bad input for every command of the tables, each form of it: one message that says what is wrong, exit code 1, and nothing
 * stored. A command without a row here fails.
 */

import { expect, test } from "bun:test";
import { calicoctlCluster } from "./testing/cluster.ts";
import { everyCommand } from "./testing/every-command.ts";

const usage = /^(Did you mean .*\n)?Usage:\n/;
const unknownFlag = /^unknown flag: --bogus\n/;
const profileName = /^Profile names must be/;
const noDocker = /^Unable to run docker commands/;
const notYaml = "kind: [";

/** Family and form as in the tables; then the line, what is said, and the standard input. */
const rows: readonly (readonly [command: string, line: string, said: RegExp, input?: string])[] = [
  ["seed: master", "master --ip=1.2.3", /^Invalid IPv4 address specified with --ip argument\.\n$/],
  ["seed: master", "master", usage],
  ["seed: node", "node --ip=::1 --etcd=1.1.1.1:1", /^Invalid IPv4 address specified with --ip argument\.\n$/],
  ["seed: node", "node --etcd=1.1.1.1:1", usage],
  ["seed: status", "status --etcd=nowhere:x", /^--store: "nowhere:x" is not a URL/],
  ["seed: reset", "reset everything", usage],
  ["seed: addgroup GROUP", "addgroup a/b", /^Group names can only contain/],
  ["seed: addtogroup CONTAINER GROUP", "addtogroup c", usage],
  ["seed: addtogroup CONTAINER GROUP", "addtogroup c g", noDocker],
  ["seed: showgroups", "showgroups x", usage],
  ["seed: removegroup GROUP", "removegroup nosuch", /^Couldn't find group with name nosuch\n$/],

  ["classic: profile PROFILE tag show", "profile nosuch tag show", /^Profile nosuch not found\.\n$/],
  ["classic: profile PROFILE tag add TAG", "profile p tag add a*b", /^Tags names can only contain/],
  ["classic: profile PROFILE tag remove TAG", "profile p tag remove x", /^Tag x is not on profile p\n$/],
  ["classic: profile PROFILE rule show", "profile a/b rule show", profileName],
  ["classic: profile PROFILE rule json", "profile nosuch rule json", /^Profile nosuch not found\.\n$/],
  [
    "classic: profile PROFILE rule update",
    "profile p rule update",
    /^ValueError: the standard input is no JSON document/,
    "{",
  ],
  ["classic: profile PROFILE rule update", "profile p rule update", /inbound_rules/, '{"id":"p","inbound_rules":7}'],
  [
    "classic: profile PROFILE rule add inbound|outbound RULE*",
    "profile p rule add inbound allow tcp to ports 70000",
    /^Port maximum \(70000\) out-of-range\.\n/,
  ],
  [
    "classic: profile PROFILE rule remove inbound|outbound RULE*",
    "profile p rule remove inbound --at=9",
    /^Rule position out-of-range\.\n$/,
  ],
  ["classic: profile show", "profile show x y", usage],
  ["classic: profile add PROFILE", "profile add a/b", profileName],
  ["classic: profile remove PROFILE", "profile remove a/b", profileName],
  ["classic: node", "node --ip=bad", /^Invalid IPv4 address specified with --ip argument\.\n$/],
  ["classic: node", "node --as=65536.0", /^Invalid AS Number specified/],
  ["classic: node", "node --runtime=podman", /^Runtime must be 'docker', 'rkt' or 'none'\.\n$/],
  ["classic: node", "node --backend=quagga", /^Invalid backend specified: 'quagga'\n$/],
  ["classic: node", "node --detach=maybe", /^Valid values for --detach are/],
  ["classic: node stop", "node stop now", usage],
  ["classic: node remove", "node remove --hostname", usage],
  ["classic: node show", "node show x", usage],
  ["classic: node bgp peer add PEER_IP as AS_NUM", "node bgp peer add 1.2.3 as 1", /^Invalid IP address specified\.\n/],
  ["classic: node bgp peer add PEER_IP as AS_NUM", "node bgp peer add 1.2.3.4 as abc", /^Invalid AS Number specified/],
  ["classic: node bgp peer remove PEER_IP", "node bgp peer remove 1.2.3", /^Invalid IP address specified\.\n/],
  ["classic: node bgp peer show", "node bgp peer show x", usage],
  ["classic: status", "status --backend=quagga", /^Invalid backend specified: 'quagga'\n$/],
  ["classic: status", "status --runtime=podman", /^Invalid runtime specified: 'podman'\n$/],
  ["classic: checksystem", "checksystem --runtime=podman", /^Runtime must be/],
  ["classic: diags", "diags extra", usage],
  ["classic: diags", "diags --output=/nonexistent/x.tar.gz", /cannot write \/nonexistent\/x\.tar\.gz: /],
  ["classic: pool show", "pool show x", usage],
  [
    "classic: pool range add START END",
    "pool range add 10.2.0.9 10.2.0.1",
    /^START_IP must be a smaller ip address than END_IP\n/,
  ],
  ["classic: pool add CIDRS...", "pool add abcd", /^Invalid CIDR specified abcd\n/],
  ["classic: pool add CIDRS...", "pool add 192.168.0.0/27", /prefix length of 26 or lower/],
  ["classic: pool remove CIDRS...", "pool remove 10.9.0.0/16", /^10\.9\.0\.0\/16 is not a configured pool\.\n/],
  ["classic: bgp peer add PEER_IP as AS_NUM", "bgp peer add x as 1", /^Invalid IP address specified\.\n/],
  ["classic: bgp peer remove PEER_IP", "bgp peer remove 1.2.3.4", /^1\.2\.3\.4 is not a globally configured peer\.\n/],
  ["classic: bgp peer show", "bgp peer show x", usage],
  ["classic: bgp node-mesh", "bgp node-mesh --bogus", usage],
  ["classic: bgp node-mesh on", "bgp node-mesh on now", usage],
  ["classic: bgp node-mesh off", "bgp node-mesh of", usage],
  ["classic: bgp default-node-as", "bgp default-node-as --bogus", usage],
  ["classic: bgp default-node-as AS_NUM", "bgp default-node-as abcde", /^Invalid AS Number specified/],
  ["classic: config felix NAME", "config felix nosuch", /^The configuration 'nosuch' is not recognized/],
  [
    "classic: config felix NAME VALUE",
    "config felix loglevel silly",
    /^The configuration value 'silly' is not recognized/,
  ],
  ["classic: config bgp NAME", "config bgp nosuch", /^The configuration 'nosuch' is not recognized/],
  ["classic: config bgp NAME VALUE", "config bgp loglevel silly", /^The configuration value 'silly' is not recognized/],
  ["classic: config node bgp NAME", "config node bgp nosuch", /^The configuration 'nosuch' is not recognized/],
  [
    "classic: config node bgp NAME VALUE",
    "config node bgp loglevel silly",
    /^The configuration value 'silly' is not recognized/,
  ],
  [
    "classic: container add CONTAINER IP",
    "container add c 1.2.3.4.5",
    /^Invalid IP address specified\. {2}Argument must be a valid IP or CIDR\.\n/,
  ],
  [
    "classic: container add CONTAINER IP",
    "container add c 1.2.3.4 --interface=much-too-long-for-linux",
    /^--interface: .*cannot name an interface/,
  ],
  ["classic: container remove CONTAINER", "container remove", usage],
  ["classic: container CONTAINER ip add IP", "container c ip add 1.2.3.4/8", /^Invalid IP address specified\.\n/],
  ["classic: container CONTAINER ip remove IP", "container c ip remove x", /^Invalid IP address specified\.\n/],
  ["classic: container CONTAINER endpoint show", "container c endpoint show", noDocker],
  ["classic: container CONTAINER endpoint-id show", "container c endpoint-id show", noDocker],
  [
    "classic: container CONTAINER profile append PROFILES*",
    "container c profile append nosuch",
    /^Profile with name nosuch was not found\.\n/,
  ],
  ["classic: container CONTAINER profile remove PROFILES*", "container c profile remove p", noDocker],
  ["classic: container CONTAINER profile set PROFILES*", "container c profile set a/b", /^Profile names must be/],
  ["classic: endpoint show", "endpoint show x", usage],
  ["classic: endpoint ENDPOINT profile append PROFILES*", "endpoint e profile append p p", /more than once/],
  [
    "classic: endpoint ENDPOINT profile remove PROFILES*",
    "endpoint e profile remove p",
    /^Failed to remove profiles? from endpoint\.\n|Endpoint e is unknown to Calico/,
  ],
  [
    "classic: endpoint ENDPOINT profile set PROFILES*",
    "endpoint e profile set nosuch",
    /^Profile with name nosuch was not found\.\n/,
  ],
  ["classic: endpoint ENDPOINT profile show", "endpoint e profile show", /^Failed to list profiles in endpoint\.\n/],
  ["classic: ipam release IP", "ipam release abc", /^Invalid IP address specified\.\n/],
  ["classic: ipam info IP", "ipam info abc", /^Invalid IP address specified\.\n/],

  ["modern: get", "get somekind", /^failed to get resources: resource type 'somekind' is not supported\n$/],
  ["modern: get", "get --bogus", unknownFlag],
  ["modern: create", "create -f -", /^failed to execute command: /, notYaml],
  ["modern: apply", "apply -f /nonexistent", /^failed to execute command: .*\/nonexistent/],
  ["modern: replace", "replace -f -", /^failed to execute command: /, "kind: IPPool\napiVersion: v9\n"],
  ["modern: delete", "delete tier", /^calicoctl: delete requires a name or a file\n/],
  ["modern: patch", "patch tier t -p {", /^hit error: performing strategic patch: Flow map must end/],
  ["modern: label", "label node", /^accepts 3 arg\(s\), received 1\n/],
  ["modern: validate", "validate -f -", /^failed to execute command: /, notYaml],
  ["modern: convert", "convert -f -", /^failed to execute command: /, notYaml],
  ["modern: ipam", "ipam shwo", /^unknown command "shwo" for "calicoctl ipam"\n/],
  ["modern: ipam show", "ipam show --ip=1.2.3", /^Error executing command: invalid IP address specified: 1\.2\.3\n$/],
  ["modern: ipam check", "ipam check extra", usage],
  ["modern: ipam release", "ipam release --ip=x", /invalid IP address specified: x/],
  [
    "modern: ipam configure",
    "ipam configure --strictaffinity=perhaps",
    /^invalid value\. Use true or false to set strictaffinity\n$/,
  ],
  ["modern: ipam split", "ipam split 3 --name=p", /^datastore is not locked\./],
  ["modern: datastore", "datastore lock", /^unknown command "lock"/],
  ["modern: datastore migrate", "datastore migrate go", /^unknown command "go"/],
  ["modern: datastore migrate lock", "datastore migrate lock now", usage],
  ["modern: datastore migrate unlock", "datastore migrate unlock --bogus", unknownFlag],
  ["modern: datastore migrate export", "datastore migrate export extra", usage],
  ["modern: datastore migrate import", "datastore migrate import -f /nonexistent", /\/nonexistent/],
  ["modern: datastore migrate-policy-names", "datastore migrate-policy-names --bogus", unknownFlag],
  ["modern: node run", "node run --dryrun --ip=bad", /^Error executing command: invalid IP address specified: bad\n$/],
  ["modern: node run", "node run --backend=quagga", /unknown networking backend: quagga/],
  ["modern: node diags", "node diags --bogus", unknownFlag],
  ["modern: node status", "node status extra", usage],
  ["modern: node checksystem", "node checksystem -f /nonexistent", /\/nonexistent/],
  ["modern: cluster", "cluster info", /^unknown command "info"/],
  [
    "modern: cluster diags",
    "cluster diags --since=ever",
    /invalid duration for since flag \(try 10s, 5m, or 1h\): ever\n$/,
  ],
  ["modern: cluster diags", "cluster diags --since=-1s", /invalid duration for since flag/],
  ["modern: cluster diags", "cluster diags --output=/nonexistent/x", /cannot write \/nonexistent\/x: /],
  ["modern: completion", "completion tcsh", usage],
  ["modern: version", "version --poll=x", /invalid poll duration specified: x/],
];

test("every command of the tables has a row, and every row is of a command", async () => {
  // diff answers 2 where the others answer 1, and has a test of its own below.
  const listed = [...new Set(rows.map(([command]) => command)), "modern: diff"].sort();
  expect(listed).toEqual([...(await everyCommand())].sort());
});

for (const [command, line, message, input = ""] of rows) {
  test(`${command}: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    await at.run("profile add p");
    const before = await at.store.list("/");
    const { code, stdout, stderr } = await at.run(line, input);
    // One stream says it; progress of what goes on until then may be on the other.
    expect([code, [stdout, stderr].some((text) => message.test(text)) || `${stdout}|${stderr}`]).toEqual([1, true]);
    expect(stdout + stderr).not.toMatch(/\n {4}at .*\.ts:\d+/);
    expect(await at.store.list("/")).toEqual(before);
  });
}

test("modern: diff: calicoctl diff -f -", async () => {
  await using at = await calicoctlCluster();
  const before = await at.store.list("/");
  expect(await at.run("diff -f -", notYaml)).toMatchObject({ code: 2, stderr: expect.stringMatching(/^failed to/) });
  expect(await at.store.list("/")).toEqual(before);
});
