/**
 * `calicoctl container` and profiles as users of the 0.x releases typed them, with real containers and packets
 * (calicoctl.md 7, numbers 7, 29 to 37).
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { type Place, reaches, wrongCells } from "./connections.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, parts: "network", name: "t-classic" });
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const ctl = (host: string, line: string) => cluster.tried(host, "calicoctl", ...line.split(" "));
const says = (stdout: string) => ({ exitCode: 0, stdout, stderr: "" });
const refuses = (stdout: string) => ({ exitCode: 1, stdout, stderr: "" });

async function start(host: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await cluster.on(host, "docker", "run", "-d", "--net=none", "--name", name, "tools", "sleep", "86400");
  }
}

async function added(host: string, name: string, ip = "ipv4", ...options: readonly string[]): Promise<string> {
  const said = await cluster.on(host, "calicoctl", "container", "add", name, ip, ...options);
  const [, address = ""] = /^IP (\S+) added to (\S+)\n\n$/.exec(said) ?? [];
  expect([said, address]).toEqual([`IP ${address} added to ${name}\n\n`, expect.stringMatching(/[.:]/)]);
  return address;
}

async function removed(host: string, ...names: readonly string[]): Promise<void> {
  for (const name of names)
    expect(await ctl(host, `container remove ${name}`)).toEqual(says(`Removed Calico from ${name}\n`));
  for (const name of names) await cluster.on(host, "docker", "rm", "-f", name);
}

/** Interfaces, routes of containers, endpoints and addresses that are there. */
async function leftovers(): Promise<readonly string[]> {
  const left: string[] = [];
  for (const host of cluster.hosts) {
    const links = await cluster.on(host, "ip", "-o", "link");
    const routes = await cluster.on(host, "ip", "route");
    left.push(...[...links.matchAll(/\b(cali|temp)[0-9a-f]{11}\b/g)].map(([name]) => `${host} ${name}`));
    left.push(...[...routes.matchAll(/^.* dev cali.*$/gm)].map(([line]) => `${host} ${line}`));
  }
  const keys = await cluster.on("host1", "etcdctl", "get", "--prefix", "--keys-only", "/calico/");
  left.push(...keys.split("\n").filter((key) => /workloadendpoints|ipam\/v2\/handle/.test(key)));
  return left;
}

describe("containers that run", () => {
  test("29: five containers on two hosts reach each other exactly where they share a profile", async () => {
    const plan: readonly (readonly [host: string, name: string, profiles: readonly string[]])[] = [
      ["host1", "workload-A", ["PROF_A_C_E"]],
      ["host1", "workload-B", ["PROF_B"]],
      ["host1", "workload-C", ["PROF_A_C_E"]],
      ["host2", "workload-D", ["PROF_D"]],
      ["host2", "workload-E", ["PROF_A_C_E"]],
    ];
    const places: Place[] = [];
    for (const [host, name] of plan) {
      await start(host, name);
      places.push({ host, container: name, address: await added(host, name) });
      await cluster.answer(host, name);
    }
    // Nobody has a profile: nothing passes.
    expect(await wrongCells(cluster, places, () => false)).toEqual([]);
    for (const profile of ["PROF_A_C_E", "PROF_B", "PROF_D"]) {
      expect(await ctl("host2", `profile add ${profile}`)).toEqual(says(`Created profile ${profile}\n`));
    }
    for (const [host, name, profiles] of plan) {
      const change = name === "workload-E" ? "set" : "append";
      const said = change === "set" ? `Profile(s) set to ${profiles}.\n\n` : `Profile(s) ${profiles} appended.\n\n`;
      expect(await ctl(host, `container ${name} profile ${change} ${profiles.join(" ")}`)).toEqual(says(said));
    }
    const profilesOf = (container: string) => plan.find(([, name]) => name === container)?.[2] ?? [];
    const shared = (from: Place, to: Place) =>
      profilesOf(from.container).some((one) => profilesOf(to.container).includes(one));
    await eventually("profiles are in force", async () =>
      expect(await wrongCells(cluster, places, shared)).toEqual([]),
    );
    // 30: the host itself, to which a container may talk.
    const hostAddress = cluster.lab.plan.hosts[0]?.address ?? "";
    await cluster.on("host1", "docker", "exec", "workload-A", "ping", "-n", "-c", "1", "-W", "2", hostAddress);

    const shown = await ctl("host1", "endpoint show");
    expect(shown.stdout).toMatch(/\|\s+host1\s+\|\s+docker\s+\|\s+3\s+\|\s+3\s+\|/);
    expect((await ctl("host2", "container workload-E endpoint show")).stdout).toContain("PROF_A_C_E");
    expect((await ctl("host2", "container workload-E profile set")).stdout).toBe(
      "Removed all profiles from endpoint.\n\n",
    );
    const [first, , , , last] = places as [Place, Place, Place, Place, Place];
    for (const [from, to] of [
      [first, last],
      [last, first],
    ] as const) {
      await eventually("without a profile nothing passes", async () =>
        expect(await reaches(cluster, from, to, "icmp")).toBe(false),
      );
    }
    await removed("host1", "workload-A", "workload-B", "workload-C");
    await removed("host2", "workload-D", "workload-E");
    for (const profile of ["PROF_A_C_E", "PROF_B", "PROF_D"]) {
      expect(await ctl("host1", `profile remove ${profile}`)).toEqual(says(`Deleted profile ${profile}\n`));
    }
    expect(await leftovers()).toEqual([]);
  }, 180_000);

  test("7, 31: addresses go on in order, come from the pool that is asked for, and not from one that is gone", async () => {
    await start("host1", "c1", "c2");
    const last = (address: string) => Number(address.split(".").at(-1));
    const first = last(await added("host1", "c1"));
    expect(last(await added("host1", "c2"))).toBe(first + 1);
    for (const name of ["c1", "c2"]) await ctl("host1", `container remove ${name}`);
    expect(last(await added("host1", "c1", "IPv4"))).toBe(first + 2);
    expect(last(await added("host1", "c2"))).toBe(first + 3);
    for (const name of ["c1", "c2"]) await ctl("host1", `container remove ${name}`);

    expect((await ctl("host1", "pool add 10.66.0.0/16")).exitCode).toBe(0);
    expect(await added("host1", "c1", "10.66.0.0/16")).toStartWith("10.66.");
    await ctl("host1", "container remove c1");
    const pools =
      /(\S+\/16)/.exec((await ctl("host1", "pool show --ipv4")).stdout.replace("10.66.0.0/16", ""))?.[1] ?? "";
    for (const pool of ["10.66.0.0/16", pools]) expect((await ctl("host1", `pool remove ${pool}`)).exitCode).toBe(0);
    const none = await ctl("host1", "container add c1 ipv4");
    expect(none).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "Failed to allocate any IPs (requested 1 IPv4s and 0 IPv6s). Pools are likely exhausted.\n",
    });
    expect((await ctl("host1", `pool add ${pools}`)).exitCode).toBe(0);
    expect(await added("host1", "c1")).toStartWith(pools.split(".").slice(0, 2).join("."));
    await removed("host1", "c1");
    await cluster.on("host1", "docker", "rm", "-f", "c2");
    expect(await leftovers()).toEqual([]);
  }, 120_000);

  test("32, 35, 36: what cannot be added is refused in one sentence, and nothing is left of it", async () => {
    await start("host1", "ca", "cb", "stopped");
    await cluster.on("host1", "docker", "run", "-d", "--net=host", "--name", "onhost", "tools", "sleep", "86400");
    await cluster.on("host1", "docker", "stop", "-t", "0", "stopped");
    const address = await added("host1", "ca");
    const pool = /(\S+\/16)/.exec((await ctl("host1", "pool show --ipv4")).stdout)?.[1] ?? "";
    const before = await leftovers();
    const refused: readonly [line: string, stdout: string][] = [
      [`container add ca ${address}`, "ca has already been configured with Calico Networking.\n\n"],
      [`container add cb ${address}`, `IP address is already assigned in pool ${pool}.\n\n`],
      ["container add stopped ipv4", "stopped is not currently running.\n\n"],
      ["container stopped ip add 192.168.0.77", "stopped is not currently running.\n"],
      ["container add onhost ipv4", "Can't add onhost to Calico because it is running NetworkMode = host.\n\n"],
      ["container add nosuch ipv4", "Container nosuch was not found.\n"],
      ["container nosuch ip add 192.168.0.77", "Container nosuch was not found.\n"],
      [
        "container cb ip add 192.168.0.77",
        "Failed to add IP address to container.\n\nContainer cb is unknown to Calico.\n\nUse `calicoctl container add` to add the container to the Calico network.\n\n",
      ],
      ["container cb ip remove 192.168.0.77", "Container is unknown to Calico.\n"],
      ["container ca ip remove 192.168.0.77", "IP address is not assigned to container. Aborting.\n"],
      [
        "container ca ip add 192.168.0.77 --interface=nosuch",
        "Interface provided does not exist in container. Aborting.\n",
      ],
      ["container add cb 10.9.9.9", "10.9.9.9 is not in any configured pools\n"],
      ["container add cb 1.2.3.4.5", "Invalid IP address specified.  Argument must be a valid IP or CIDR.\n\n"],
      ["container add cb 10.99.0.0/16", "Invalid CIDR specified for desired pool. No pool found for 10.99.0.0/16.\n\n"],
      ["container cb profile append nosuch", "Profile with name nosuch was not found.\n"],
    ];
    for (const [line, stdout] of refused) expect([line, await ctl("host1", line)]).toEqual([line, refuses(stdout)]);
    expect(await leftovers()).toEqual(before);
    expect(await ctl("host1", "container remove cb")).toEqual(says("Failed find Calico data for cb\n"));
    await removed("host1", "ca");
    for (const name of ["cb", "stopped", "onhost"]) await cluster.on("host1", "docker", "rm", "-f", name);
    expect(await leftovers()).toEqual([]);
  }, 120_000);

  test("33, 34, 37: more addresses, another interface, a restart, and a container that is gone", async () => {
    await start("host1", "ca", "cb");
    await ctl("host1", "profile add P");
    const places: Place[] = [];
    for (const name of ["ca", "cb"]) {
      const address = await added("host1", name, "ipv4", ...(name === "cb" ? ["--interface=hello"] : []));
      places.push({ host: "host1", container: name, address });
      await ctl("host1", `container ${name} profile append P`);
      await cluster.answer("host1", name);
    }
    const [a, b] = places as [Place, Place];
    expect(await cluster.on("host1", "docker", "exec", "cb", "ip", "-o", "link", "show", "hello")).toContain("hello");
    const reached = (from: Place, to: Place, address: string, expected: boolean) =>
      eventually(`${from.container} to ${address}`, async () =>
        expect([address, await reaches(cluster, from, { ...to, address }, "icmp")]).toEqual([address, expected]),
      );
    const network = a.address.split(".").slice(0, 3).join(".");
    const more = [`${network}.200`, `${network}.201`];
    for (const address of more) {
      expect(await ctl("host1", `container ca ip add ${address}`)).toEqual(says(`IP ${address} added to ca\n`));
      await reached(b, a, address, true);
    }
    expect(await ctl("host1", `container cb ip add ${network}.202 --interface=hello`)).toEqual(
      says(`IP ${network}.202 added to cb\n`),
    );
    await reached(a, b, `${network}.202`, true);
    for (const address of more) {
      expect(await ctl("host1", `container ca ip remove ${address}`)).toEqual(says(`IP ${address} removed from ca\n`));
      await reached(b, a, address, false);
      expect(await ctl("host1", `container ca ip remove ${address}`)).toEqual(
        refuses("IP address is not assigned to container. Aborting.\n"),
      );
    }
    await reached(b, a, a.address, true);

    await cluster.on("host1", "docker", "restart", "-t", "0", "ca");
    expect((await ctl("host1", "container add ca ipv4")).stdout).toContain("already been configured");
    expect((await ctl("host1", "container remove ca")).exitCode).toBe(0);
    expect(await added("host1", "ca", a.address)).toBe(a.address);
    await ctl("host1", "container ca profile append P");
    await reached(b, a, a.address, true);

    // The node's restart changes nothing for them.
    await cluster.lab.restart("host1", "node", "SIGKILL");
    await reached(b, a, a.address, true);

    const id = (await cluster.on("host1", "docker", "inspect", "-f", "{{.Id}}", "ca")).trim();
    await cluster.on("host1", "docker", "rm", "-f", "ca");
    expect(await ctl("host1", "profile remove P")).toEqual(
      says(
        "Cannot remove profile - profile in use by endpoint(s).\nUse the '--no-check' flag to remove the profile anyway.\n",
      ),
    );
    expect(await ctl("host1", `container remove ${id}`)).toEqual(says(`Removed Calico from ${id}\n`));
    await removed("host1", "cb");
    expect(await ctl("host1", "profile remove P --no-check")).toEqual(says("Deleted profile P\n"));
    expect(await leftovers()).toEqual([]);
  }, 120_000);

  test("a network namespace is a container too, and IPv6 addresses are given where there is a pool", async () => {
    await ctl("host1", "pool add fd80:24e2:f998:72d6::/64");
    await cluster.on("host1", "ip", "netns", "add", "blue");
    await start("host1", "six");
    const path = "/run/netns/blue";
    const blue = await added("host1", path, "ipv6");
    const six = await added("host1", "six", "ipv6");
    expect(blue).toStartWith("fd80:24e2:f998:72d6:");
    await ctl("host1", "profile add P6");
    for (const name of [path, "six"])
      expect((await ctl("host1", `container ${name} profile append P6`)).exitCode).toBe(0);
    await eventually("the namespace reaches the container", () =>
      cluster.on("host1", "ip", "netns", "exec", "blue", "ping", "-n", "-c", "1", "-W", "1", six),
    );
    expect((await ctl("host1", "endpoint show")).stdout).toMatch(/namespace/);
    expect(await ctl("host1", `container remove ${path}`)).toEqual(says(`Removed Calico from ${path}\n`));
    await removed("host1", "six");
    await cluster.on("host1", "ip", "netns", "del", "blue");
    await ctl("host1", "profile remove P6");
    await ctl("host1", "pool remove fd80:24e2:f998:72d6::/64");
    expect(await leftovers()).toEqual([]);
  }, 120_000);
});
