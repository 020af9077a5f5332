/**
 * The walk-through of the first release's guide, typed on two hosts that have nothing but Docker: a master, two nodes,
 * five containers in three groups, real packets, and a reset that leaves nothing (calicoctl.md 7, numbers 42, 44, 49 to 52),
 * and the life of a node as the 0.x releases had it (14, 42, 43, 45).
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { type Place, reaches, wrongCells } from "./connections.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;
const state = { before: [] as readonly string[] };

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, parts: "docker", name: "t-seed" });
  state.before = await hostState();
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const ctl = (host: string, line: string) => cluster.tried(host, "calicoctl", ...line.split(" "));
const says = (stdout: string) => ({ exitCode: 0, stdout, stderr: "" });
const refuses = (stdout: string) => ({ exitCode: 1, stdout, stderr: "" });
const addressOf = (host: string) => cluster.lab.plan.hosts.find(({ name }) => name === host)?.address ?? "";

/** Links, routes, rules and processes of ours on every host. */
async function hostState(): Promise<readonly string[]> {
  const state: string[] = [];
  for (const host of cluster.hosts) {
    const [links, routes, rules, iptables, processes, run] = [
      await cluster.on(host, "sh", "-c", "ip -o link | cut -d: -f2 | grep -v veth"),
      await cluster.on(host, "ip", "route"),
      await cluster.on(host, "nft", "list", "tables"),
      await cluster.on(host, "sh", "-c", "iptables-save | grep -v '^#' | sed 's/\\[.*\\]//'"),
      await cluster.on(
        host,
        "sh",
        "-c",
        "ps -eo args | grep -E 'main.ts (node|store|supervise)' | grep -v grep || true",
      ),
      await cluster.on(host, "sh", "-c", "ls /run/margay /run/docker/plugins /var/lib/calico 2>/dev/null || true"),
    ];
    state.push(...[links, routes, rules, iptables, processes, run].map((text) => `${host}: ${text}`));
  }
  return state;
}

describe("the first release's guide", () => {
  test("49: a node before any master ends; the master starts a store and says its id", async () => {
    const etcd = `${addressOf("host1")}:2379`;
    const early = await ctl("host2", `node --ip=${addressOf("host2")} --etcd=${etcd}`);
    expect(early.exitCode).toBe(1);
    expect(early.stdout.replaceAll("\n", " ")).toContain("Error accessing etcd");
    const said = await ctl("host1", `master --ip=${addressOf("host1")}`);
    expect([said.exitCode, said.stdout]).toEqual([
      0,
      expect.stringMatching(/^Calico master is running with id: [0-9a-f]{32}\n$/),
    ]);
    expect(said.stderr).toContain("everybody who can reach it can read and write it");
    const key = await cluster.on("host2", "etcdctl", "get", "--print-value-only", "/calico/master/ip");
    expect(key.trim()).toBe(addressOf("host1"));
    // Again: the store is there now.
    expect(await ctl("host1", `master --ip=${addressOf("host1")} --etcd=${etcd}`)).toEqual(says(said.stdout));
  }, 60_000);

  test("nodes start on both hosts, and are started again when they die", async () => {
    const etcd = `${addressOf("host1")}:2379`;
    for (const host of cluster.hosts) {
      const said = await ctl(host, `node --ip=${addressOf(host)} --etcd=${etcd}`);
      expect(said).toEqual(
        says(expect.stringMatching(/^Using master on IP: \S+\nCalico node is running with id: [0-9a-f]{64}\n\n$/)),
      );
    }
    const status = await ctl("host1", `status --etcd=${etcd}`);
    expect(status.stdout).toMatch(
      new RegExp(
        `^Currently configured master is ${addressOf("host1")}\n.*margay store.*\n.*margay node.*\nmargay node 0`,
      ),
    );
    const nodePid = async () =>
      /"child":\{"pid":(\d+)/.exec(await cluster.on("host2", "cat", "/run/margay/node.pid"))?.[1];
    const pid = await nodePid();
    await cluster.on("host2", "kill", "-9", String(pid));
    await eventually("the node runs again", async () => {
      expect(await nodePid()).not.toBe(pid);
      expect((await ctl("host2", "status")).exitCode).toBe(0);
    });
  }, 120_000);

  test("50 to 52: five containers in three groups on two hosts reach each other exactly by shared group", async () => {
    const plan = [
      ["host1", "workload-A", "192.168.1.1", "GROUP_A_C_E"],
      ["host1", "workload-B", "192.168.1.2", "GROUP_B"],
      ["host1", "workload-C", "192.168.1.3", "GROUP_A_C_E"],
      ["host2", "workload-D", "192.168.1.4", "GROUP_D"],
      ["host2", "workload-E", "192.168.1.5", "GROUP_A_C_E"],
    ] as const;
    const places: Place[] = [];
    for (const [host, name, address] of plan) {
      await cluster.on(host, "docker", "run", "--net=none", "--name", name, "-tid", "tools", "sleep", "86400");
      expect(await ctl(host, `container add ${name} ${address}`)).toEqual(says(`IP ${address} added to ${name}\n\n`));
      await cluster.answer(host, name);
      places.push({ host, container: name, address });
    }
    // 52: in no group.
    expect(await wrongCells(cluster, places, () => false)).toEqual([]);
    for (const group of ["GROUP_A_C_E", "GROUP_B", "GROUP_D"]) {
      expect((await ctl("host2", `addgroup ${group}`)).stdout).toMatch(
        new RegExp(`^Created group ${group} with ID [0-9a-f]{32}\n$`),
      );
    }
    expect(await ctl("host1", "addgroup GROUP_B")).toEqual(says("Group GROUP_B already exists.\n"));
    for (const [host, name, , group] of plan) expect(await ctl(host, `addtogroup ${name} ${group}`)).toEqual(says(""));
    const groupOf = (container: string) => plan.find(([, name]) => name === container)?.[3];
    const shared = (from: Place, to: Place) => groupOf(from.container) === groupOf(to.container);
    await eventually("groups are in force", async () => expect(await wrongCells(cluster, places, shared)).toEqual([]));
    expect((await ctl("host1", "showgroups")).stdout).toMatch(/\| GROUP_A_C_E \|/);

    expect(await ctl("host1", "addtogroup nosuch GROUP_B")).toEqual(refuses("'Container nosuch was not found.'\n"));
    expect(await ctl("host1", "addtogroup workload-A nosuch")).toEqual(
      refuses("'Group with name nosuch was not found.'\n"),
    );
    await cluster.on("host1", "docker", "run", "--net=none", "--name", "stranger", "-d", "tools", "sleep", "86400");
    const id = (await cluster.on("host1", "docker", "inspect", "-f", "{{.Id}}", "stranger")).trim();
    expect(await ctl("host1", "addtogroup stranger GROUP_B")).toEqual(
      refuses(`'Container with ID ${id} was not found.'\n`),
    );
    expect(await ctl("host1", `addtogroup ${id.slice(0, 12)} GROUP_B`)).toMatchObject({ exitCode: 1 });

    // B joins A's group and is in two; then A's group is gone, and B's own remains.
    expect(await ctl("host1", "addtogroup workload-B GROUP_A_C_E")).toEqual(says(""));
    const joined = (from: Place, to: Place) => ![from, to].some(({ container }) => container === "workload-D");
    await eventually("B has joined", async () => expect(await wrongCells(cluster, places, joined)).toEqual([]));
    expect((await ctl("host2", "removegroup GROUP_A_C_E")).stdout).toMatch(/^Deleted group GROUP_A_C_E with ID/);
    const [first, second] = places as [Place, Place];
    await eventually("the group is gone", async () =>
      expect(await reaches(cluster, first, second, "icmp")).toBe(false),
    );
    expect((await ctl("host1", "container workload-B endpoint show")).stdout).toContain("GROUP_B");
  }, 180_000);

  test("reset leaves each host as it was", async () => {
    const diags = await ctl("host2", "diags --output=/run/diags.tar.gz");
    expect([diags.exitCode, diags.stdout]).toEqual([
      0,
      expect.stringContaining("\nDiags saved to /run/diags.tar.gz\n"),
    ]);
    for (const host of ["host2", "host1"]) {
      const said = await ctl(host, host === "host1" ? "reset --force" : "reset");
      expect(said.stdout).toMatch(/Removing interfaces:\n(cali[0-9a-f]{11}\n)+$/);
      expect(said.exitCode).toBe(0);
    }
    for (const host of cluster.hosts) await cluster.on(host, "sh", "-c", "docker rm -f $(docker ps -aq)");
    await eventually("nothing is left", async () => expect(await hostState()).toEqual(state.before));
    expect((await ctl("host1", "reset")).stdout).toBe("No interfaces to clean up\n");
  }, 60_000);
});

describe("a node as the 0.x releases had it", () => {
  test("14, 42, 43, 44: it starts with an address it found, stops, and is removed in this order only", async () => {
    await ctl("host1", `master --ip=${addressOf("host1")}`);
    expect(await ctl("host1", "checksystem")).toEqual(says(""));
    const started = await ctl("host1", "node --as=64999 --libnetwork");
    expect(started.stdout).toMatch(
      /\nCalico node is running with id: [0-9a-f]{64}\nCalico node running with libnetwork plugin enabled\nWaiting for successful startup\nCalico node started successfully\n$/,
    );
    expect(started.exitCode).toBe(0);
    expect((await ctl("host2", "node show")).stdout).toMatch(
      new RegExp(`\\|\\s+host1\\s+\\|\\s+${addressOf("host1")}\\s+\\|\\s+\\|\\s+64999\\s+\\|`),
    );
    const status = await ctl("host1", "status");
    expect(status.stdout).toMatch(
      /^calico-node container is running\. Status: Up .*\nRunning felix version .*\n\nIPv4 BGP status\nIP: \S+ {4}AS Number: 64999\n/,
    );
    expect(status.exitCode).toBe(0);

    await cluster.on("host1", "docker", "run", "--net=none", "--name", "cc", "-d", "tools", "sleep", "86400");
    expect((await ctl("host1", "container add cc ipv4")).exitCode).toBe(0);
    expect((await ctl("host1", "profile add p")).exitCode).toBe(0);
    expect((await ctl("host1", "node stop")).stdout).toStartWith(
      "Current host has active endpoints so can't be stopped.  Force with --force\n",
    );
    expect((await ctl("host1", "node remove")).exitCode).toBe(1);
    const stopped = await ctl("host1", "node stop --force");
    expect([stopped.exitCode, stopped.stdout.endsWith("\nNode stopped\n")]).toEqual([0, true]);
    expect(await ctl("host1", "status")).toEqual(refuses("calico-node container not running\n"));
    expect((await ctl("host1", "node remove")).stdout).toStartWith(
      "The node has active Calico endpoints so can't be deleted.",
    );
    expect(await ctl("host1", "node remove --remove-endpoints")).toEqual(says("Node configuration removed\n"));
    expect((await ctl("host1", "endpoint show")).stdout).not.toContain("host1");

    // In the foreground it ends with the command.
    const script =
      "calicoctl node --detach=false & until calicoctl status >/dev/null; do sleep 0.1; done; kill -TERM $!; wait $!";
    const foreground = await cluster.tried("host1", "sh", "-c", script);
    expect([foreground.exitCode, foreground.stdout]).toEqual([0, expect.stringMatching(/\nGot SIGTERM\n$/)]);
    expect((await ctl("host1", "status")).exitCode).toBe(1);

    // 44: the whole way down, in order.
    expect((await ctl("host1", `node --ip=${addressOf("host1")}`)).exitCode).toBe(0);
    expect((await ctl("host1", "node")).exitCode).toBe(0); // a second one takes the place of the first
    expect((await ctl("host1", "container add cc ipv4")).exitCode).toBe(0);
    expect((await ctl("host1", "node remove")).stdout.replaceAll("\n", " ")).toStartWith(
      "The node cannot be removed while it is running.",
    );
    const pool = /(\S+\/16)/.exec((await ctl("host1", "pool show --ipv4")).stdout)?.[1];
    for (const line of ["profile remove p", "container remove cc", `pool remove ${pool}`, "node stop", "node remove"]) {
      expect([line, await ctl("host1", line)]).toEqual([line, expect.objectContaining({ exitCode: 0 })]);
    }
    await cluster.on("host1", "docker", "rm", "-f", "cc");
  }, 180_000);

  test("today's words start and stop the same service", async () => {
    const started = await ctl("host1", "node run --as=64998");
    expect(started.stdout).toMatch(
      /^Running the following command to start calico-node:\n\nAS=64998 margay node --name=host1( --store=\S+)?\n\nNode started, waiting until it is ready\.\nCalico node started successfully\n$/,
    );
    expect(started.exitCode).toBe(0);
    expect((await ctl("host1", "node status")).stdout).toStartWith("Calico process is running.\n");
    expect((await ctl("host1", "get node host1 -o yaml")).stdout).toContain("asNumber: 64998");
    for (const line of ["node stop", "node remove"])
      expect([line, await ctl("host1", line)]).toEqual([line, expect.objectContaining({ exitCode: 0 })]);
  }, 60_000);

  test("a container of a given image (Margay's own: node-image) is started and stopped; one that does not get there is taken away again", async () => {
    await cluster.on("host1", "docker", "run", "--net=none", "--name", "base", "tools", "true");
    const make = (image: string, script: string) =>
      cluster.on("host1", "docker", "commit", "--change", `CMD ["sh","-c","${script}"]`, "base", image);
    await make("starts:1", "echo Calico node started successfully; sleep 86400");
    await make("ends:1", "echo no way; exit 3");
    const start = (options: string) => ctl("host1", `node --ip=${addressOf("host1")} ${options}`);
    const running = () => cluster.on("host1", "docker", "ps", "-aq", "--filter", "name=calico-node");

    const started = await start("--node-image=starts:1");
    expect(started.stdout).toMatch(
      /^Running Docker container with the following command:\n\ndocker run -d --restart=always --net=host .* starts:1\n\n/,
    );
    expect(started.stdout).toContain(` -e HOSTNAME=host1 -e IP=${addressOf("host1")} -e IP6= `);
    expect(started.stdout).toMatch(/\nCalico node is running with id: [0-9a-f]{64}\n/);
    expect([started.exitCode, started.stdout.endsWith("Calico node started successfully\n")]).toEqual([0, true]);
    expect(await running()).not.toBe("");
    expect((await ctl("host1", "node stop")).exitCode).toBe(0);
    const ended = await start("--node-image=ends:1");
    expect([ended.exitCode, ended.stdout]).toEqual([1, expect.stringContaining("no way")]);
    expect(await running()).toBe("");
    const missing = await start("--node-image=nosuch:1 --no-pull");
    expect(missing).toEqual(refuses("ERROR: There is no image nosuch:1 here, and --no-pull is set.\n\n"));
    expect((await ctl("host1", "reset --force")).exitCode).toBe(0);
    await cluster.on("host1", "docker", "rm", "-f", "base");
    await eventually("nothing is left", async () => expect(await hostState()).toEqual(state.before));
  }, 120_000);
});
