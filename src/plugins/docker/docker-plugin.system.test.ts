/** The driver with real Docker daemons, real kernels and two hosts: what only these can show. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { runCommand } from "../../lab/command.ts";
import { Lab } from "../../lab/lab.ts";

const TIMEOUT_MS = 120_000;
const NETWORK = "my-calico-net";
const OTHER = "other-calico-net";
/** What of the store belongs to containers and networks; blocks stay with their host. */
const TRACES = /\/workloadendpoints\/|\/ipam\/v2\/handle\/|\/profiles\/|\/margay\/docker\//;

let lab: Lab;
let imageFolder: string;

beforeAll(async () => {
  imageFolder = mkdtempSync(join(tmpdir(), "margay-image-"));
  mkdirSync(join(imageFolder, "bin"));
  const links = ["sh", "sleep", "ping", "nc", "ip"].map((name) => `ln -s busybox ${name}`).join(" && ");
  await must([
    "sh",
    "-c",
    `cp "$(command -v busybox)" ${imageFolder}/bin/busybox && cd ${imageFolder}/bin && ${links}`,
  ]);
  lab = await Lab.create({ name: `dp${process.pid}`, hosts: 2, parts: "network" });
  for (const host of ["host1", "host2"]) {
    await lab.mustExec(host, ["sh", "-c", `tar -C ${imageFolder} -c . | docker import - tiny`]);
  }
}, TIMEOUT_MS);

afterAll(async () => {
  await lab?.down();
  rmSync(imageFolder, { recursive: true, force: true });
}, TIMEOUT_MS);

async function must(words: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
  return stdout.trim();
}

async function docker(host: string, ...words: readonly string[]): Promise<string> {
  return (await lab.mustExec(host, ["docker", ...words])).trim();
}

async function refusal(host: string, ...words: readonly string[]): Promise<string> {
  const { exitCode, stderr } = await lab.exec(host, ["docker", ...words]);
  expect(exitCode).not.toBe(0);
  return stderr.trim();
}

async function createNetwork(host: string, name: string, ...options: readonly string[]): Promise<void> {
  await docker(host, "network", "create", "--driver=calico", "--ipam-driver=calico", ...options, name);
}

async function run(host: string, name: string, network: string, ...options: readonly string[]): Promise<string> {
  await docker(host, "run", "-d", "--name", name, "--net", network, ...options, "tiny", "sleep", "1000");
  return await addressOf(host, name);
}

function addressOf(host: string, name: string): Promise<string> {
  return docker(host, "inspect", name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
}

async function reaches(host: string, name: string, address: string, ...options: readonly string[]): Promise<boolean> {
  const words = ["docker", "exec", name, "ping", "-c1", "-W1", ...options, address];
  return (await lab.exec(host, words)).exitCode === 0;
}

async function networksOf(host: string): Promise<string> {
  const names = await docker(host, "network", "ls", "--filter", "driver=calico", "--format", "{{.Name}}");
  return names.split("\n").sort().join(" ");
}

async function until(what: string, look: () => Promise<boolean>, withinMs = 10_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + withinMs;
  while (!(await look())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await systemClock.sleep(50);
  }
}

async function storeTraces(): Promise<readonly string[]> {
  const keys = await lab.mustExec("host1", ["etcdctl", "get", "--prefix", "--keys-only", "/"]);
  return keys.split("\n").filter((key) => TRACES.test(key));
}

async function interfaces(host: string): Promise<string> {
  return (await lab.mustExec(host, ["ip", "-br", "link"]))
    .split("\n")
    .filter((line) => /^(cali|temp)/.test(line))
    .join("\n");
}

async function expectNothingLeft(): Promise<void> {
  expect(await storeTraces()).toEqual([]);
  for (const host of ["host1", "host2"]) {
    expect(await interfaces(host)).toBe("");
    expect(await lab.mustExec(host, ["ls", "/var/lib/margay/node/docker/endpoints"])).toBe("");
    expect(await networksOf(host)).toBe("");
  }
}

test(
  "a network made on one host is on the other, with its profile, and goes from both",
  async () => {
    await createNetwork("host1", NETWORK, "--label", "team=a");
    expect(await lab.mustExec("host1", ["calicoctl", "profile", NETWORK, "rule", "show"])).toBe(
      "Inbound rules:\n   1 allow from tag my-calico-net\nOutbound rules:\n   1 allow\n",
    );
    await until("the network is on host2", async () => (await networksOf("host2")) === NETWORK);
    expect(await docker("host2", "network", "inspect", NETWORK, "--format", "{{.Scope}} {{.Labels.team}}")).toBe(
      "local a",
    );
    await docker("host2", "network", "rm", NETWORK);
    await until("the network is gone from host1", async () => (await networksOf("host1")) === "");
    await expectNothingLeft();
  },
  TIMEOUT_MS,
);

test(
  "what cannot be had is refused in the words of the original, and changes nothing",
  async () => {
    const create = ["network", "create", "--driver=calico"];
    const calico = [...create, "--ipam-driver=calico"];
    const subnet = "--subnet=192.168.0.0/16";
    const cases: readonly [words: readonly string[], text: string][] = [
      [create, "Non-Calico IPAM driver is used. Note: Docker before 1.12.3 is unsupported"],
      [
        [...calico, subnet, "--gateway=192.168.0.1"],
        "failed to allocate gateway (192.168.0.1): IpamDriver.RequestAddress: Calico IPAM does not support specifying a gateway.",
      ],
      [
        [...calico, "--subnet=192.168.3.0/24"],
        "The requested subnet must match the CIDR of a configured Calico IP Pool.",
      ],
      [[...calico, "--internal"], "Calico driver does not support the flag --internal."],
      [
        [...calico, subnet, "--ip-range=192.168.3.0/24"],
        "Calico IPAM does not support sub pool configuration on 'docker create network'.",
      ],
      [[...calico, "--ipam-opt", "REJECT=1"], "Arbitrary options are not supported"],
      [[...calico, "--opt", "REJECT", "--opt", "REJECT2"], "Calico driver does not support the flags REJECT, REJECT2."],
    ];
    for (const [words, text] of cases) expect(await refusal("host1", ...words, "refused")).toContain(text);
    await expectNothingLeft();
  },
  TIMEOUT_MS,
);

test(
  "members of a network reach each other over the hosts at full MTU, others do not",
  async () => {
    await createNetwork("host1", NETWORK);
    await createNetwork("host2", OTHER);
    await until("both networks are on both hosts", async () => {
      const all = await Promise.all([networksOf("host1"), networksOf("host2")]);
      return all.every((names) => names === `${NETWORK} ${OTHER}`);
    });
    const [one, two, outsider] = [
      await run("host1", "one", NETWORK),
      await run("host2", "two", NETWORK),
      await run("host1", "outsider", OTHER),
    ];
    expect(await docker("host1", "exec", "one", "ip", "route")).toBe(
      "default via 169.254.1.1 dev cali0 \n169.254.1.1 dev cali0 scope link",
    );
    await until("host1's container reaches host2's", () => reaches("host1", "one", two));
    const mtu = Number(/mtu (\d+)/.exec(await docker("host1", "exec", "one", "ip", "link", "show", "cali0"))?.[1]);
    expect(await reaches("host1", "one", two, "-s", String(mtu - 28))).toBe(true);
    expect(await reaches("host2", "two", one)).toBe(true);
    for (const [host, name, address] of [
      ["host1", "outsider", one],
      ["host1", "outsider", two],
      ["host1", "one", outsider],
    ] as const) {
      expect(await reaches(host, name, address)).toBe(false);
    }
    await docker("host1", "network", "connect", NETWORK, "outsider");
    await until("the outsider has become a member", () => reaches("host1", "outsider", two, "-I", "cali1"));
    await docker("host1", "network", "disconnect", NETWORK, "outsider");
    await docker("host1", "rm", "-f", "one", "outsider");
    expect(await refusal("host2", "network", "rm", NETWORK)).toContain("has active endpoints");
    await docker("host1", "network", "rm", NETWORK);
    await until("a network in use comes back", async () => (await networksOf("host1")).includes(NETWORK));
    await docker("host2", "rm", "-f", "two");
    await docker("host2", "network", "rm", NETWORK, OTHER);
    await until("the networks are gone from host1", async () => (await networksOf("host1")) === "");
    await expectNothingLeft();
  },
  TIMEOUT_MS,
);

test(
  "a user's address stays the container's over restarts, and is nobody else's",
  async () => {
    await createNetwork("host1", NETWORK, "--subnet=192.168.0.0/16");
    await until("the network is on host2", async () => (await networksOf("host2")) === NETWORK);
    expect(await run("host1", "fixed", NETWORK, "--ip", "192.168.200.7")).toBe("192.168.200.7");
    expect(
      await refusal("host2", "run", "--name", "thief", "--net", NETWORK, "--ip", "192.168.200.7", "tiny", "sleep", "9"),
    ).toContain("The address 192.168.200.7 is already in use");
    await docker("host1", "restart", "-t", "0", "fixed");
    expect(await addressOf("host1", "fixed")).toBe("192.168.200.7");
    await docker("host1", "stop", "-t", "0", "fixed");
    expect((await storeTraces()).filter((key) => !key.includes(NETWORK))).toEqual([]);
    await docker("host1", "start", "fixed");
    expect(await addressOf("host1", "fixed")).toBe("192.168.200.7");
    await docker("host1", "rm", "-f", "fixed");
    await docker("host2", "rm", "-f", "thief");
    await docker("host1", "network", "rm", NETWORK);
    await until("the network is gone from host2", async () => (await networksOf("host2")) === "");
    await expectNothingLeft();
  },
  TIMEOUT_MS,
);

test(
  "node, Docker and store may each be killed: containers and policy go on, and nothing is left behind",
  async () => {
    await createNetwork("host1", NETWORK);
    await createNetwork("host1", OTHER);
    await until("both networks are on host2", async () => (await networksOf("host2")) === `${NETWORK} ${OTHER}`);
    const one = await run("host1", "one", NETWORK);
    await run("host2", "two", NETWORK);
    await run("host2", "outsider", OTHER);
    await until("they reach each other", () => reaches("host2", "two", one));
    for (const [host, service] of [
      ["host1", "node"],
      ["host1", "docker"],
      ["host1", "store"],
      ["host2", "node"],
    ] as const) {
      await lab.kill(host, service);
      expect(await reaches("host2", "two", one)).toBe(true);
      expect(await reaches("host2", "outsider", one)).toBe(false);
      await lab.ready();
      expect(await reaches("host2", "two", one)).toBe(true);
      expect(await reaches("host2", "outsider", one)).toBe(false);
    }
    expect(await addressOf("host1", "one")).toBe(one);
    const again = await run("host1", "again", NETWORK);
    await until("a new container is reached", () => reaches("host2", "two", again));
    await docker("host1", "rm", "-f", "one", "again");
    await docker("host2", "rm", "-f", "two", "outsider");
    await docker("host2", "network", "rm", NETWORK, OTHER);
    await until("the networks are gone from host1", async () => (await networksOf("host1")) === "");
    await expectNothingLeft();
  },
  TIMEOUT_MS,
);
