/**
 * The policy scenarios that people know from the old guides (dcos-and-quickstart.md 8), typed as they stand there, with real
 * packets over two hosts; a test's numbers are those of the scenarios. Isolation by profile is in classic-containers and seed-guide, by network and with a static address in
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
  const nodeEnvironment = { CALICO_LIBNETWORK_LABEL_ENDPOINTS: "true" };
  cluster = await Cluster.create({ hosts: 2, parts: "network", name: "t-scen", nodeEnvironment });
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const calicoctl = (line: string, stdin = "") =>
  cluster.on("host2", "sh", "-c", `calicoctl ${line} <<'END'\n${stdin}\nEND`);

/** A container that answers with its name on the ports. */
async function start(
  host: string,
  name: string,
  network: string,
  ports = "",
  options = "",
  flags: readonly string[] = [],
): Promise<void> {
  const given = options === "" ? ["--net", network] : ["--network", `name=${network},${options}`];
  await cluster.on(host, "docker", "run", "-d", "--name", name, ...given, ...flags, "tools", "sleep", "86400");
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

test("15: labels of Docker's on a container are labels of its endpoint, and policy goes by them", async () => {
  await cluster.createNetwork("labelled");
  const label = (value: string) => ["--label", `org.projectcalico.label.role=${value}`];
  await start("host1", "db", "labelled", "6379 6380", "", [...label("db"), "--label", "other=x"]);
  await start("host2", "app", "labelled", "", "", label("app"));
  await start("host2", "plain", "labelled", "");
  const template = "{{range .}}{{range .Items}}{{.ObjectMeta.Labels}}\\n{{end}}{{end}}";
  await eventually("the labels are there", async () => {
    const shown = await calicoctl(`get wep -A -o 'go-template=${template}'`);
    for (const role of ["role:db", "role:app"]) expect(shown).toContain(role);
    expect(shown).not.toContain("other:x");
  });
  await becomes(["app -> db 6380", "plain -> db 6379"], []);
  const policy = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: redis, namespace: libnetwork}
spec:
  selector: role == 'db'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: TCP, source: {selector: role == 'app'}, destination: {ports: [6379]}}
`;
  await calicoctl("apply -f -", policy);
  await becomes(["app -> db 6379"], ["app -> db 6380", "app -> db ping", "plain -> db 6379"]);
  await calicoctl("delete -f -", policy);
}, 120_000);

/** A container that connects anew five times a second and keeps what came of it: "TIME answer" or "TIME -". */
async function startProbe(client: string, server: string, port: number): Promise<void> {
  const address = addresses.get(server) ?? "";
  const once = `a=$(nc -w 1 ${address} ${port} </dev/null); echo "$(cut -d' ' -f1 /proc/uptime) \${a:--}"; sleep 0.2`;
  const script = `while true; do ${once}; done >/tmp/probe`;
  await cluster.on(hosts.get(client) ?? "", "docker", "exec", "-d", client, "sh", "-c", script);
}

interface Probed {
  readonly atSeconds: number;
  readonly passed: boolean;
}

async function probed(client: string): Promise<readonly Probed[]> {
  const text = await cluster.on(hosts.get(client) ?? "", "docker", "exec", client, "cat", "/tmp/probe");
  return [...text.matchAll(/^([\d.]+) (\S+)$/gm)].map(([, at, answer]) => ({
    atSeconds: Number(at),
    passed: answer !== "-",
  }));
}

const liveWithinSeconds = 2;

test("18: with a probe running, a rule that comes and goes counts for new connections within 2 s, on both hosts", async () => {
  await cluster.createNetwork("live");
  await start("host1", "served", "live", "80 81");
  await start("host1", "near", "applications");
  await start("host2", "far", "applications");
  for (const client of ["near", "far"]) await startProbe(client, "served", 80);
  // Opened while the rule is there, and used when it is not: established connections follow connection tracking.
  const rule = "profile live rule add inbound allow tcp from tag applications to ports 80,82";
  const undo = "profile live rule remove inbound allow tcp from tag applications to ports 80,82";
  const echo = ["socat", "TCP-LISTEN:82,fork,reuseaddr", "PIPE"];
  await cluster.on("host1", "docker", "exec", "-d", "served", ...echo);
  for (const round of [1, 2]) {
    for (const [line, passes] of [
      [rule, true],
      [undo, false],
    ] as const) {
      const keeps = line === undo ? await keepOpen("far", "served", 82, `kept${round}`) : undefined;
      await calicoctl(line);
      const changedAt = Number((await cluster.on("host1", "cut", "-d ", "-f1", "/proc/uptime")).trim());
      for (const client of ["near", "far"]) {
        // A try that began before the change may answer after it; a refused one lasts a second.
        const later = await eventually(`${client} has gone on`, async () => {
          const all = (await probed(client)).filter(({ atSeconds }) => atSeconds > changedAt + liveWithinSeconds);
          if (all.length < 3) throw new Error(`${all.length} tries`);
          return all;
        });
        expect([client, line, later.map(({ passed }) => passed)]).toEqual([client, line, later.map(() => passes)]);
      }
      if (keeps !== undefined) expect(await keeps()).toBe("before\nafter\n");
    }
  }
}, 180_000);

/** A connection that has passed a line; later it passes another and answers all that came back. */
async function keepOpen(client: string, server: string, port: number, name: string): Promise<() => Promise<string>> {
  const host = hosts.get(client) ?? "";
  const within = (script: string) => cluster.on(host, "docker", "exec", client, "sh", "-c", script);
  await within(`mkfifo /tmp/${name}`);
  const script = `exec 3<>/tmp/${name}; socat - TCP:${addresses.get(server)}:${port} <&3 >/tmp/${name}.out`;
  await cluster.on(host, "docker", "exec", "-d", client, "sh", "-c", script);
  const said = (text: string) =>
    eventually(`${name} answers`, async () => expect(await within(`cat /tmp/${name}.out`)).toBe(text));
  await within(`echo before >/tmp/${name}`);
  await said("before\n");
  return async () => {
    await within(`echo after >/tmp/${name}`);
    await said("before\nafter\n");
    return await within(`cat /tmp/${name}.out`);
  };
}
