/**
 * What a Docker user of the old stack types: networks, containers by hand on several hosts, connections by membership, and
 * all of it again after connect, disconnect, stop, start, and restarts of the parts underneath.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { type Place, reaches, wrongCells } from "./connections.ts";
import { eventually } from "./eventually.ts";
import { traces } from "./traces.ts";

let cluster: Cluster;
const places: Place[] = [];
const network = (place: Place) => (place.container.startsWith("a") ? "my-calico-net" : "other-calico-net");
const sameNetwork = (from: Place, to: Place) => network(from) === network(to);

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-docker" });
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const guideRules = `Inbound rules:
   1 allow from tag my-calico-net
Outbound rules:
   1 allow
`;

describe("networks", () => {
  test("one command on one host makes the network known on every host", async () => {
    await cluster.createNetwork("my-calico-net");
    await cluster.createNetwork("other-calico-net");
  });

  test("calicoctl shows the network's rules exactly as the guide prints them, with and without ETCD_AUTHORITY", async () => {
    const show = ["calicoctl", "profile", "my-calico-net", "rule", "show"];
    for (const host of cluster.hosts) expect(await cluster.on(host, ...show)).toBe(guideRules);
    const authority = `${cluster.lab.plan.hosts[0]?.address}:2379`;
    expect(await cluster.on("host2", "env", `ETCD_AUTHORITY=${authority}`, ...show)).toBe(guideRules);
  });

  const refused: readonly [string, readonly string[], string][] = [
    ["the default IPAM driver", ["--driver=calico"], "Non-Calico IPAM driver is used"],
    [
      "--internal",
      ["--driver=calico", "--ipam-driver=calico", "--internal"],
      "Calico driver does not support the flag --internal.",
    ],
    [
      "an unknown option",
      ["--driver=calico", "--ipam-driver=calico", "--opt", "REJECT"],
      "Calico driver does not support the flag REJECT.",
    ],
    [
      "a subnet that is no pool",
      ["--driver=calico", "--ipam-driver=calico", "--subnet=10.7.0.0/24"],
      "must match the CIDR of a configured Calico IP Pool",
    ],
    [
      "an IPAM option",
      ["--driver=calico", "--ipam-driver=calico", "--ipam-opt", "REJECT"],
      "Arbitrary options are not supported",
    ],
  ];
  for (const [what, options, text] of refused)
    test(`${what} is refused with the plug-in's own words and leaves nothing`, async () => {
      const said = await cluster.tried("host1", "docker", "network", "create", ...options, "refused");
      expect(said.exitCode).not.toBe(0);
      expect(said.stderr).toContain(text);
      expect((await cluster.tried("host1", "docker", "network", "inspect", "refused")).exitCode).not.toBe(0);
    });
});

describe("containers by hand", () => {
  test("get addresses of their own on both hosts", async () => {
    const wanted: readonly [string, string][] = [
      ["host1", "a1"],
      ["host1", "a2"],
      ["host2", "a3"],
      ["host1", "b1"],
      ["host2", "b2"],
    ];
    for (const [host, container] of wanted) {
      const name = container.startsWith("a") ? "my-calico-net" : "other-calico-net";
      places.push({ host, container, address: await cluster.run(host, container, name) });
    }
    expect(new Set(places.map(({ address }) => address)).size).toBe(places.length);
    for (const { address } of places) expect(address).toMatch(/^192\.168\./);
  }, 120_000);

  test("reach each other by membership and in no other way, on one host and across hosts, by TCP, UDP and ICMP", async () => {
    expect(await wrongCells(cluster, places, sameNetwork)).toEqual([]);
  }, 120_000);

  test("a full-sized packet crosses hosts unfragmented: no encapsulation takes its share", async () => {
    const [a1, , a3] = places as [Place, Place, Place];
    expect(await cluster.on("host1", "docker", "exec", "a1", "cat", "/sys/class/net/cali0/mtu")).toBe("1500\n");
    await cluster.on(
      a1.host,
      "docker",
      "exec",
      "a1",
      "ping",
      "-n",
      "-c",
      "1",
      "-W",
      "2",
      "-M",
      "do",
      "-s",
      "1472",
      a3.address,
    );
  });

  test("a container's routes are the two that Calico gives it", async () => {
    const routes = await cluster.on("host1", "docker", "exec", "a1", "ip", "-4", "route");
    expect(
      routes
        .trim()
        .split("\n")
        .map((line) => line.trim())
        .sort(),
    ).toEqual(["169.254.1.1 dev cali0 scope link", "default via 169.254.1.1 dev cali0"]);
  });

  test("the world outside the lab is reached, as the profile's outbound rule allows, and does not reach in", async () => {
    const outside = cluster.lab.plan.outside;
    await cluster.on("host1", "docker", "exec", "a1", "ping", "-n", "-c", "1", "-W", "2", outside);
    await cluster.on("host2", "calicoctl", "profile", "my-calico-net", "rule", "remove", "outbound", "--at=1");
    await eventually("the outside is closed", async () => {
      const said = await cluster.tried("host1", "docker", "exec", "a1", "ping", "-n", "-c", "1", "-W", "1", outside);
      expect(said.exitCode).not.toBe(0);
    });
    await cluster.on("host2", "calicoctl", "profile", "my-calico-net", "rule", "add", "outbound", "allow");
    await eventually("the outside is open again", () =>
      cluster.on("host1", "docker", "exec", "a1", "ping", "-n", "-c", "1", "-W", "1", outside),
    );
  });

  test("another host does not get in", async () => {
    const a1 = places[0] as Place;
    const said = await cluster.tried("host2", "ping", "-n", "-c", "1", "-W", "1", a1.address);
    expect(said.exitCode).not.toBe(0);
  });

  test("--ip gives just that address, and a second use of it is refused by name", async () => {
    await cluster.createNetwork("with-subnet", "--subnet=192.168.0.0/16");
    await cluster.on(
      "host1",
      "docker",
      "run",
      "-d",
      "--name",
      "fixed",
      "--net",
      "with-subnet",
      "--ip",
      "192.168.77.7",
      "tools",
      "sleep",
      "86400",
    );
    expect(await cluster.addressOf("host1", "fixed", "with-subnet")).toBe("192.168.77.7");
    const again = await cluster.tried(
      "host2",
      "docker",
      "run",
      "-d",
      "--name",
      "fixed2",
      "--net",
      "with-subnet",
      "--ip",
      "192.168.77.7",
      "tools",
      "sleep",
      "1",
    );
    expect(again.exitCode).not.toBe(0);
    expect(again.stderr).toContain("192.168.77.7");
    await cluster.on("host1", "docker", "restart", "-t", "0", "fixed");
    expect(await cluster.addressOf("host1", "fixed", "with-subnet")).toBe("192.168.77.7");
    for (const [host, name] of [
      ["host1", "fixed"],
      ["host2", "fixed2"],
    ] as const)
      await cluster.tried(host, "docker", "rm", "-f", name);
    for (const host of cluster.hosts) await cluster.tried(host, "docker", "network", "rm", "with-subnet");
  });

  test("connect and disconnect change who is reached while the container runs", async () => {
    const [a1, , , b1] = places as [Place, Place, Place, Place];
    await cluster.on("host1", "docker", "network", "connect", "my-calico-net", "b1");
    const inA = { ...b1, address: await cluster.addressOf("host1", "b1", "my-calico-net") };
    await eventually("b1 is a member", async () => expect(await reaches(cluster, a1, inA, "icmp")).toBe(true));
    await cluster.on("host1", "docker", "network", "disconnect", "my-calico-net", "b1");
    expect(await reaches(cluster, a1, inA, "icmp")).toBe(false);
    expect(await wrongCells(cluster, places, sameNetwork)).toEqual([]);
  }, 120_000);

  // Docker makes the network whose name comes first the container's gateway: everything it sends leaves by that one.
  for (const [second, gateway] of [
    ["z-net", "first"],
    ["0-net", "second"],
  ] as const)
    test(`a container on two networks is a member of both, also when the ${gateway} is its gateway`, async () => {
      const [a1, , a3, b1] = places as [Place, Place, Place, Place];
      await cluster.createNetwork(second);
      const start = async (host: string, container: string, net: string): Promise<Place> => {
        await cluster.on(host, "docker", "run", "-d", "--name", container, "--net", net, "tools", "sleep", "86400");
        await cluster.answer(host, container);
        return { host, container, address: await cluster.addressOf(host, container, net) };
      };
      const both = await start("host1", "both", "my-calico-net");
      const near = await start("host1", "near", second);
      const far = await start("host2", "far", second);
      await cluster.on("host1", "docker", "network", "connect", second, "both");
      const bothInSecond = { ...both, address: await cluster.addressOf("host1", "both", second) };
      const member = (place: Place) => [a1, a3].includes(place) || [near, far].includes(place);
      const all = [both, bothInSecond, near, far, a1, a3, b1];
      const allowed = (from: Place, to: Place) => {
        if (from.container === "both" || to.container === "both")
          return from.container === to.container || member(from) || member(to);
        return from === b1 || to === b1 ? false : [near, far].includes(from) === [near, far].includes(to);
      };
      expect(await wrongCells(cluster, all, allowed)).toEqual([]);
      await cluster.lab.restart("host1", "node", "SIGKILL");
      expect(await wrongCells(cluster, [bothInSecond, far, a3, b1], allowed)).toEqual([]);

      await cluster.on("host1", "docker", "network", "disconnect", second, "both");
      const left = [both, far, a1];
      const apart = (from: Place, to: Place) => [near, far].includes(from) === [near, far].includes(to);
      await eventually("it has left", async () => expect(await wrongCells(cluster, left, apart)).toEqual([]), {
        withinMs: 60_000,
      });
      await cluster.on("host1", "docker", "rm", "-f", "both", "near");
      await cluster.on("host2", "docker", "rm", "-f", "far");
      await cluster.on("host1", "docker", "network", "rm", second);
    }, 180_000);

  test("stop and start give the container back to its network", async () => {
    await cluster.on("host2", "docker", "restart", "-t", "0", "a3");
    await cluster.answer("host2", "a3");
    places[2] = { host: "host2", container: "a3", address: await cluster.addressOf("host2", "a3", "my-calico-net") };
    await eventually(
      "all is as it was",
      async () => expect(await wrongCells(cluster, places, sameNetwork)).toEqual([]),
      { withinMs: 60_000 },
    );
  }, 120_000);
});

describe("restarts underneath", () => {
  for (const service of ["node", "docker"] as const)
    test(`${service} of a host is killed: connections go on as allowed, and new containers come up`, async () => {
      const restarted = cluster.lab.restart("host1", service, "SIGKILL");
      expect(await reaches(cluster, places[2] as Place, places[0] as Place, "icmp")).toBe(true);
      expect(await reaches(cluster, places[4] as Place, places[0] as Place, "icmp")).toBe(false);
      await restarted;
      await eventually("a new container runs", async () => {
        await cluster.tried("host1", "docker", "rm", "-f", "fresh");
        await cluster.on(
          "host1",
          "docker",
          "run",
          "-d",
          "--name",
          "fresh",
          "--net",
          "my-calico-net",
          "tools",
          "sleep",
          "86400",
        );
      });
      const fresh = { host: "host1", container: "fresh", address: "" };
      await eventually("it is a member", async () =>
        expect(await reaches(cluster, fresh, places[2] as Place, "icmp")).toBe(true),
      );
      await cluster.on("host1", "docker", "rm", "-f", "fresh");
      expect(await wrongCells(cluster, places, sameNetwork)).toEqual([]);
    }, 120_000);
});

test("when containers and networks are gone, nothing of theirs is left on any host or in the store", async () => {
  for (const { host, container } of places) await cluster.on(host, "docker", "rm", "-f", container);
  for (const name of ["my-calico-net", "other-calico-net"]) await cluster.on("host2", "docker", "network", "rm", name);
  await eventually("no trace is left", async () => expect(await traces(cluster)).toEqual([]), {
    withinMs: 90_000,
    everyMs: 1000,
  });
}, 120_000);
