/**
 * A host's services as containers of an image that holds Margay: `--master-image` and `--node-image` in the words of all three
 * families, up to containers that reach each other exactly by policy, and down again until nothing is left. Docker here cannot
 * hand on every right there is: where Margay itself runs in a container, that is so too.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { type Place, reaches } from "./connections.ts";
import { eventually } from "./eventually.ts";
import { loadImage, margayImage } from "./margay-image.ts";

let cluster: Cluster;
let before: string;

beforeAll(async () => {
  const [made, archive] = await Promise.all([
    Cluster.create({ hosts: 1, parts: "docker", name: "t-image" }),
    margayImage("margay:test", ["margay", "node"]),
  ]);
  cluster = made;
  await loadImage(cluster.lab.dockerSocket("host1"), archive);
  before = await hostState();
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const ctl = (line: string, ...last: readonly string[]) =>
  cluster.tried("host1", "calicoctl", ...line.split(" "), ...last);
const on = (line: string) => cluster.on("host1", ...line.split(" "));
const address = () => cluster.lab.plan.hosts[0]?.address ?? "";
const image = "--node-image=margay:test";
const accessFlags =
  "--net=host --pid=host --cap-add=NET_ADMIN --cap-add=SYS_ADMIN --cap-add=SYS_PTRACE " +
  "--security-opt=systempaths=unconfined --security-opt=apparmor=unconfined --security-opt=label=disable --name=calico-node";

async function hostState(): Promise<string> {
  const looks = [
    "ip -o link | cut -d: -f2 | grep -v veth",
    "ip route",
    "nft list tables",
    "iptables-save | grep -v '^#' | sed 's/\\[.*\\]//'",
    "ls /run/margay /run/docker/plugins /var/lib/calico 2>/dev/null || true",
    "docker ps -aq",
  ];
  const texts = await Promise.all(looks.map((look) => cluster.on("host1", "sh", "-c", look)));
  return texts.join("\n");
}

const running = async (name: string) => (await on(`docker ps -q --filter name=^/${name}$`)) !== "";

/** Two containers in one network, one in another: each reaches exactly its own network, and a policy cuts one port. */
async function policyHolds(round: string): Promise<void> {
  const places: Record<string, Place> = {};
  for (const network of ["red", "blue"])
    await on(`docker network create --driver=calico --ipam-driver=calico ${network}${round}`);
  for (const [name, network] of [
    ["r1", "red"],
    ["r2", "red"],
    ["b1", "blue"],
  ] as const) {
    const container = `${name}${round}`;
    places[name] = { host: "host1", container, address: await cluster.run("host1", container, `${network}${round}`) };
  }
  const tries = async () => {
    const { r1, r2, b1 } = places;
    if (r1 === undefined || r2 === undefined || b1 === undefined) throw new Error("not started");
    return await Promise.all([
      reaches(cluster, r1, r2, "tcp"),
      reaches(cluster, r1, r2, "icmp"),
      reaches(cluster, b1, r2, "tcp"),
      reaches(cluster, r1, b1, "icmp"),
    ]);
  };
  await eventually("networks are apart", async () => expect(await tries()).toEqual([true, true, false, false]));
  expect((await ctl(`profile red${round} rule add inbound --at=1 deny tcp to ports 80`)).exitCode).toBe(0);
  await eventually("the rule is in force", async () => expect(await tries()).toEqual([false, true, false, false]));
  await on(`docker rm -f r1${round} r2${round} b1${round}`);
  for (const network of ["red", "blue"]) await on(`docker network rm ${network}${round}`);
}

test("--master-image: the store runs in the container, on the host's addresses", async () => {
  const said = await ctl(`master --ip=${address()} --master-image=margay:test`);
  expect([said.exitCode, said.stdout]).toEqual([
    0,
    expect.stringMatching(/^Calico master is running with id: [0-9a-f]{64}\n$/),
  ]);
  expect(said.stderr).toContain("everybody who can reach it can read and write it");
  expect(await running("calico-master")).toBe(true);
  expect(await cluster.on("host1", "etcdctl", "get", "--print-value-only", "/calico/master/ip")).toBe(`${address()}\n`);
  // Again: the container is replaced, what it has stored stays.
  await on("etcdctl put /kept yes");
  expect((await ctl(`master --ip=${address()} --master-image=margay:test`)).exitCode).toBe(0);
  expect(await on("etcdctl get --print-value-only /kept")).toBe("yes\n");
  await on("etcdctl del /kept");
}, 120_000);

test("seed: a node in a container, its container networks under policy, and its end", async () => {
  const said = await ctl(`node --ip=${address()} --etcd=${address()}:2379 ${image}`);
  expect(said).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(
      new RegExp(`^Using master on IP: ${address()}\nCalico node is running with id: [0-9a-f]{64}\n\n$`),
    ),
    stderr: "",
  });
  expect((await ctl("status")).stdout).toMatch(/^calico-node container is running\. Status: Up /);
  await policyHolds("0");
  expect((await ctl("node stop")).stdout).toBe("Node stopped\n");
  expect(await running("calico-node")).toBe(false);
}, 180_000);

test("classic: a container of Docker's without network gets an address; the node is replaced by a service and back", async () => {
  const said = await ctl(`node --ip=${address()} --libnetwork ${image}`);
  expect(said.stdout).toStartWith(
    "Running Docker container with the following command:\n\n" +
      `docker run -d --restart=always ${accessFlags} -e HOSTNAME=host1 -e IP=${address()} -e IP6= `,
  );
  expect(said.stdout).toMatch(/\nCalico node is running with id: [0-9a-f]{64}\n/);
  expect([said.exitCode, said.stdout.endsWith("Calico node started successfully\n")]).toEqual([0, true]);
  // Of another user: its network is found with a right of its own.
  await on("docker run -d --net=none --user=1000 --name=plain tools sleep 86400");
  expect((await ctl("container add plain 192.168.0.7")).exitCode).toBe(0);
  expect((await ctl("profile add plain")).exitCode).toBe(0);
  expect((await ctl("container plain profile append plain")).exitCode).toBe(0);
  const ping = (address: string) => cluster.tried("host1", "ping", "-n", "-c", "1", "-W", "1", address);
  const pings = () => ping("192.168.0.7");
  await eventually("the container answers", async () => expect((await pings()).exitCode).toBe(0));
  // A namespace that was made when the node's container was there already.
  await on("ip netns add later");
  expect((await ctl("container add /run/netns/later 192.168.0.8")).exitCode).toBe(0);
  expect((await ctl("container /run/netns/later profile append plain")).exitCode).toBe(0);
  await eventually("the namespace answers", async () => expect((await ping("192.168.0.8")).exitCode).toBe(0));
  expect((await ctl("container remove /run/netns/later")).exitCode).toBe(0);
  await on("ip netns delete later");

  expect((await ctl(`node --ip=${address()}`)).exitCode).toBe(0);
  expect([await on("docker ps -aq --filter name=calico-node"), (await pings()).exitCode]).toEqual(["", 0]);
  expect((await ctl(`node --ip=${address()} ${image}`)).exitCode).toBe(0);
  expect([await running("calico-node"), (await pings()).exitCode]).toEqual([true, 0]);
  expect((await cluster.tried("host1", "test", "-e", "/run/margay/node.pid")).exitCode).toBe(1);
  expect((await ctl("container remove plain")).exitCode).toBe(0);
  await on("docker rm -f plain");
  for (const line of ["node stop", "node remove"])
    expect([line, await ctl(line)]).toEqual([line, expect.objectContaining({ exitCode: 0 })]);
}, 180_000);

test("modern: node run starts the same container, in the foreground as well", async () => {
  const said = await ctl(`node run ${image} --ip=${address()}`);
  expect(said.stdout).toStartWith(
    "Removing old calico-node container (if running).\nRunning the following command to start calico-node:\n\n" +
      `docker run ${accessFlags} -d --restart=always -e NODENAME=host1 -e CALICO_MANAGE_CNI=false `,
  );
  expect([said.exitCode, said.stderr]).toEqual([0, ""]);
  expect((await ctl("node status")).stdout).toStartWith("Calico process is running.\n");
  await policyHolds("3");
  expect((await ctl("node stop")).exitCode).toBe(0);

  const script =
    `calicoctl node run --init-system ${image} & until calicoctl status >/dev/null; do sleep 0.1; done; ` +
    "docker ps --format '{{.Names}}'; kill -TERM $!; wait $!";
  const foreground = await cluster.tried("host1", "sh", "-c", script);
  expect(foreground.exitCode).toBe(0);
  expect(foreground.stdout).toContain("\ncalico-node\n");
  expect(await on("docker ps -aq --filter name=calico-node")).toBe("");
}, 180_000);

test("reset takes the containers away, and the host is as it was", async () => {
  expect((await ctl(`node --ip=${address()} ${image}`)).exitCode).toBe(0);
  const said = await ctl("reset --force");
  expect([said.exitCode, said.stderr]).toEqual([0, ""]);
  await eventually("nothing is left", async () => expect(await hostState()).toBe(before));
}, 120_000);
