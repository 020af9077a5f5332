/**
 * The policy scenarios that people know from the old guides (dcos-and-quickstart.md 8), typed as they stand there, with real
 * packets over two hosts. Isolation by profile is in classic-containers and seed-guide, by network and with a static address in
 * docker-networks, IPv6 in ipv6.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;
const addresses = new Map<string, string>();
const hosts = new Map<string, string>();
const names = (text: string) => text.split(" ");

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-scen" });
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const calicoctl = (line: string, stdin = "") =>
  cluster.on("host2", "sh", "-c", `calicoctl ${line} <<'END'\n${stdin}\nEND`);

/** A container that answers with its name on the ports. */
async function start(host: string, name: string, network: string, ports = "", options = ""): Promise<void> {
  const given = options === "" ? ["--net", network] : ["--network", `name=${network},${options}`];
  await cluster.on(host, "docker", "run", "-d", "--name", name, ...given, "tools", "sleep", "86400");
  for (const port of names(ports).filter((text) => text !== "")) {
    const listener = `TCP-LISTEN:${port},fork,reuseaddr`;
    await cluster.on(host, "docker", "exec", "-d", name, "socat", listener, `SYSTEM:echo ${name}`);
  }
  const address = await cluster.addressOf(host, name, network);
  const hostAddress = cluster.lab.plan.hosts.find((one) => one.name === host)?.address ?? "";
  await cluster.on("outside", "ip", "route", "replace", address, "via", hostAddress);
  addresses.set(name, address);
  hosts.set(name, host);
}

/** "client -> server 80", "client -> server ping"; the client "outside" is a machine beyond the lab's hosts. */
async function passes(cell: string): Promise<boolean> {
  const [client = "", , server = "", what = ""] = cell.split(" ");
  const address = addresses.get(server) ?? server;
  const source = client === "outside" ? `-s ${cluster.lab.plan.outside}` : "";
  const words = what === "ping" ? `ping -n -c 1 -W 1 ${address}` : `nc ${source} -w 1 ${address} ${what} </dev/null`;
  const within = client === "outside" ? ["sh", "-c", words] : ["docker", "exec", client, "sh", "-c", words];
  const said = await cluster.tried(client === "outside" ? client : (hosts.get(client) ?? ""), ...within);
  return what === "ping" ? said.exitCode === 0 : said.stdout.trim() === (addresses.has(server) ? server : "web1");
}

/** Waits until exactly the first ones pass. */
async function becomes(open: readonly string[], closed: readonly string[]): Promise<void> {
  await eventually(
    "the connections are as they should be",
    async () => {
      const seen = await Promise.all([...open, ...closed].map(async (cell) => ((await passes(cell)) ? [cell] : [])));
      expect(seen.flat()).toEqual([...open]);
    },
    { withinMs: 20_000 },
  );
}

test("3: a database takes its own port from applications, and nothing else", async () => {
  for (const network of ["databases", "applications"]) await cluster.createNetwork(network);
  await start("host1", "db1", "databases", "3306 3307");
  await start("host2", "db2", "databases", "3306");
  await start("host2", "app1", "applications", "80");
  await becomes(["db2 -> db1 3306"], ["app1 -> db1 3306"]);
  await calicoctl("profile databases rule add inbound allow tcp from tag applications to ports 3306");
  expect(await calicoctl("profile databases rule show")).toBe(
    "Inbound rules:\n   1 allow from tag databases\n   2 allow tcp from tag applications to ports 3306\nOutbound rules:\n   1 allow\n",
  );
  await becomes(
    ["app1 -> db1 3306", "db2 -> db1 3307"],
    ["app1 -> db1 3307", "app1 -> db1 ping", "db1 -> app1 80", "outside -> db1 3306"],
  );
}, 120_000);

test("4, 11: web servers are open to everybody at two ports and ping, also through a port of their host", async () => {
  await cluster.createNetwork("WEB");
  await start("host1", "web1", "WEB", "22 80 443 8080");
  await start("host2", "web2", "WEB", "80");
  await calicoctl("profile WEB rule remove inbound --at=1");
  await calicoctl("profile WEB rule add inbound allow tcp to ports 80,443");
  await calicoctl("profile WEB rule add inbound allow icmp type 8");
  expect(await calicoctl("profile WEB rule show")).toStartWith(
    "Inbound rules:\n   1 allow tcp to ports 80,443\n   2 allow icmp type 8\nOutbound rules:\n",
  );
  const target = `${addresses.get("web1")}:80`;
  const dnat = (verb: string) =>
    `iptables -t nat ${verb} PREROUTING -i eth0 -p tcp --dport 8081 -j DNAT --to-destination ${target}`;
  await cluster.on("host1", "sh", "-c", dnat("-A"));
  const host = cluster.lab.plan.hosts[0]?.address;
  await becomes(
    ["outside -> web1 80", "outside -> web1 443", "app1 -> web1 80", "app1 -> web1 ping", `outside -> ${host} 8081`],
    ["outside -> web1 22", "web2 -> web1 8080", "app1 -> web1 8080"],
  );
  await calicoctl("profile WEB rule remove inbound allow tcp to ports 80,443");
  await becomes(["app1 -> web1 ping"], ["outside -> web1 80", `outside -> ${host} 8081`]);
  await calicoctl("profile WEB rule add inbound --at=1 allow tcp to ports 80,443");
  await cluster.on("host1", "sh", "-c", dnat("-D"));
}, 120_000);

const appRules = JSON.stringify({
  id: "APP",
  inbound_rules: [
    { action: "allow", protocol: "tcp", dst_ports: [7890], src_tag: "APP_7890" },
    { action: "allow", protocol: "icmp", icmp_type: 8 },
  ],
  outbound_rules: [{ action: "allow" }],
});

test("5: whoever has the tag of a capability reaches the port that it is for", async () => {
  await cluster.createNetwork("APP");
  await start("host2", "server", "APP", "7890");
  await calicoctl("profile APP rule update", appRules);
  await calicoctl("profile WEB tag add APP_7890");
  expect(await calicoctl("profile WEB tag show")).toBe("APP_7890\nWEB\n");
  await becomes(["web1 -> server 7890", "web2 -> server 7890", "app1 -> server ping"], ["app1 -> server 7890"]);
  await calicoctl("profile WEB tag remove APP_7890");
  await becomes(["web1 -> server ping"], ["web1 -> server 7890", "web2 -> server 7890"]);
}, 120_000);

test("6: a rule put before another one decides first", async () => {
  await cluster.createNetwork("only-local-pings");
  await start("host1", "pinged", "only-local-pings");
  await calicoctl("profile only-local-pings rule remove inbound --at=1");
  await calicoctl("profile only-local-pings rule add inbound deny icmp");
  await becomes([], ["app1 -> pinged ping", "outside -> pinged ping"]);
  await calicoctl("profile only-local-pings rule add inbound --at=1 allow from cidr 192.168.0.0/16");
  await becomes(["app1 -> pinged ping"], ["outside -> pinged ping"]);
}, 120_000);

test("7, 8: a network that both others may reach; a profile in use is not removed unless told to", async () => {
  await cluster.createNetwork("AB");
  await start("host1", "shared", "AB", "80");
  for (const tag of ["databases", "applications"]) await calicoctl(`profile AB rule add inbound allow from tag ${tag}`);
  await becomes(["db1 -> shared 80", "app1 -> shared 80"], ["web1 -> shared 80", "outside -> shared 80"]);
  expect(await calicoctl("profile remove AB")).toBe(
    "Cannot remove profile - profile in use by endpoint(s).\nUse the '--no-check' flag to remove the profile anyway.\n",
  );
  await calicoctl("profile remove AB --no-check");
  // What refers to nothing is closed.
  await becomes([], ["db1 -> shared 80", "app1 -> shared 80"]);
}, 120_000);

test("17: an outer host in the range reaches the port, one outside of the range does not", async () => {
  await calicoctl("profile applications rule add inbound allow tcp from cidr 198.51.100.0/24 to ports 80");
  await becomes(["outside -> app1 80"], ["web1 -> app1 80"]);
  await calicoctl("profile applications rule remove inbound --at=2");
  await calicoctl("profile applications rule add inbound allow tcp from cidr 203.0.113.0/24 to ports 80");
  await becomes([], ["outside -> app1 80", "web1 -> app1 80"]);
}, 120_000);

const role = (name: string) => `driver-opt=org.projectcalico.label.${name}`;

test("13, 14: by label, with the network's own rules taken away: clients reach servers, tenants stay apart", async () => {
  await cluster.createNetwork("tenants");
  await start("host1", "server1", "tenants", "80 81", role("role=webserver"));
  await start("host2", "client1", "tenants", "", role("role=client"));
  await start("host2", "nobody", "tenants", "");
  await becomes(["client1 -> server1 81", "nobody -> server1 80"], []);
  await calicoctl("profile tenants rule remove inbound --at=1");
  await becomes([], ["client1 -> server1 80", "nobody -> server1 80"]);
  const policy = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: libnetwork}
spec:
  order: 0
  selector: role == 'webserver'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source: {selector: role == 'client'}
    destination: {ports: [80]}
`;
  await calicoctl("apply -f -", policy);
  await becomes(["client1 -> server1 80"], ["client1 -> server1 81", "nobody -> server1 80", "app1 -> server1 80"]);
  await calicoctl("delete -f -", policy);
  await becomes([], ["client1 -> server1 80"]);
}, 120_000);
