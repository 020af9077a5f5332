/** The lab on the real kernel with real Docker daemons; Margay's own services are tried in test/acceptance. */

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { holdersOf, labTraces } from "./clean-up.ts";
import { runCommand } from "./command.ts";
import { forwardPort } from "./host-connection.ts";
import { inNetworkOf, processAlive } from "./host-namespaces.ts";
import { Lab } from "./lab.ts";
import { labFolder, readLabState } from "./lab-state.ts";
import { execOnHost, setHostLink, takeDownLab, viewLab } from "./running-lab.ts";
import { machineState } from "./testing/machine-state.ts";

const timeoutMs = 60_000;
let labs = 0;
const freshName = () => `t${process.pid}-${++labs}`;

async function until(what: string, look: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + withinMs;
  while (!(await look())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await systemClock.sleep(20);
  }
}

test(
  "a lab leaves the machine as it was",
  async () => {
    const before = await machineState();
    const name = freshName();
    {
      await using lab = await Lab.create({ name, hosts: 2 });
      const driver = await lab.mustExec("host1", ["docker", "info", "--format", "{{.Name}} {{.Driver}}"]);
      expect(driver.trim()).toMatch(/^host1 (overlay2|vfs)$/);
      await lab.mustExec("host1", ["docker", "network", "create", "plain"]);
      const calico = ["--driver=calico", "--ipam-driver=calico"];
      await lab.mustExec("host1", ["docker", "network", "create", ...calico, "my-calico-net"]);
      const whileUp = await machineState();
      expect(whileUp).toEqual(before);
    }
    expect(await labTraces(name)).toEqual([]);
    expect(await machineState()).toEqual(before);
  },
  timeoutMs,
);

test(
  "a lab whose every process was killed is cleaned up by the next one of its name",
  async () => {
    const before = await machineState();
    const name = freshName();
    const maker = Bun.spawn([process.execPath, join(import.meta.dir, "testing/bring-up.ts"), name], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const reader = maker.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("up\n");
    const state = readLabState(name);
    const docker = state?.hosts[0]?.services[0]?.pid ?? 0;
    expect(processAlive(docker)).toBe(true);
    for (const pid of [maker.pid, ...holdersOf(name), docker]) process.kill(pid, "SIGKILL");
    await maker.exited;
    expect(existsSync(labFolder(name))).toBe(true);

    const lines: string[] = [];
    const lab = await Lab.create({ name, hosts: 1, parts: "docker", onProgress: (line) => lines.push(line) });
    expect(lines[0]).toBe(`removing what an earlier lab "${name}" left behind`);
    expect(processAlive(docker)).toBe(false);
    await lab.down();
    expect(await labTraces(name)).toEqual([]);
    expect(await machineState()).toEqual(before);
  },
  timeoutMs,
);

test(
  "a lab whose supervisor alone was killed can still be looked at, used and taken down",
  async () => {
    const name = freshName();
    const maker = Bun.spawn([process.execPath, join(import.meta.dir, "testing/bring-up.ts"), name], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await maker.stdout.getReader().read();
    maker.kill("SIGKILL");
    await maker.exited;
    const view = await viewLab(name);
    expect(view.supervised).toBe(false);
    const docker = view.hosts[0]?.services[0];
    expect(docker?.phase).toBe("ready");
    expect(await execOnHost(name, "host1", ["docker", "info", "--format", "{{.ID}}"])).toBe(0);
    process.kill(docker?.pid ?? 0, "SIGKILL");
    await until("the view says that Docker has ended", async () => {
      const phase = (await viewLab(name)).hosts[0]?.services[0]?.phase;
      return phase === "stopped";
    });
    expect(await takeDownLab(name)).toBe(true);
    expect(await takeDownLab(name)).toBe(false);
    expect(await labTraces(name)).toEqual([]);
  },
  timeoutMs,
);

for (const when of ["at the first line of progress", "when Docker is ready"]) {
  test(
    `a lab that is stopped while it comes up, ${when}, leaves nothing`,
    async () => {
      const name = freshName();
      const stop = new AbortController();
      const coming = Lab.create({
        name,
        hosts: 2,
        parts: "docker",
        signal: stop.signal,
        onProgress: (line) => {
          if (when.includes("first") || line.includes("docker is ready")) stop.abort();
        },
      });
      await expect(coming).rejects.toThrow();
      expect(await labTraces(name)).toEqual([]);
    },
    timeoutMs,
  );
}

test(
  "two labs stand side by side and do not see each other; a second one of the same name is refused",
  async () => {
    await using one = await Lab.create({ name: freshName(), hosts: 1, parts: "none" });
    await using two = await Lab.create({ name: freshName(), hosts: 2, parts: "none" });
    expect(one.plan.subnet).not.toBe(two.plan.subnet);
    expect((await two.exec("host1", ["ping", "-c1", "-W1", "host2"])).exitCode).toBe(0);
    const other = one.plan.hosts[0]?.address ?? "";
    expect((await two.exec("host1", ["ping", "-c1", "-W1", other])).exitCode).not.toBe(0);
    await expect(Lab.create({ name: one.name, hosts: 1, parts: "none" })).rejects.toThrow("is up already");
    expect((await one.exec("host1", ["hostname"])).stdout).toBe("host1\n");
  },
  timeoutMs,
);

test(
  "exec gives the command's exit code, its input and output, and the commands of the old stack",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 1, parts: "none" });
    expect(await execOnHost(lab.name, "host1", ["sh", "-c", "exit 37"])).toBe(37);
    expect(await execOnHost(lab.name, "host1", ["no-such-command"])).toBe(127);
    const piped = await lab.exec("host1", ["sh", "-c", "cat; hostname; echo $ETCDCTL_API"], { stdin: "given\n" });
    expect(piped.stdout).toBe("given\nhost1\n3\n");
    for (const name of ["margay", "calicoctl", "docker"]) {
      const found = await lab.exec("host1", ["sh", "-c", 'command -v "$0"', name]);
      expect(found.stdout).toBe(`/run/margay-lab/bin/${name}\n`);
    }
    expect((await lab.exec("host1", ["margay", "--version"])).stdout).toStartWith("margay ");
    await expect(lab.exec("host9", ["true"])).rejects.toThrow('has no host "host9"; it has: host1');
    // The machine's settings are out of a host's reach, those of its own network are not.
    expect((await lab.exec("host1", ["sysctl", "-w", "kernel.keys.root_maxkeys=1000001"])).exitCode).not.toBe(0);
    expect((await lab.exec("host1", ["sysctl", "-w", "net.ipv4.ip_forward=1"])).exitCode).toBe(0);
  },
  timeoutMs,
);

test(
  "a host that is cut off is out of reach until it is healed",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 2, parts: "none" });
    const reaches = async () => (await lab.exec("host1", ["ping", "-c1", "-W1", "host2"])).exitCode === 0;
    expect(await reaches()).toBe(true);
    await setHostLink(lab.name, "host2", false);
    expect((await viewLab(lab.name)).links).toEqual({ host1: "up", host2: "cut" });
    expect(await reaches()).toBe(false);
    await setHostLink(lab.name, "host2", true);
    await until("host2 answers again", reaches);
    expect((await viewLab(lab.name)).links).toEqual({ host1: "up", host2: "up" });
  },
  timeoutMs,
);

test(
  "a port of the machine leads into host1, with half-closed connections and much data",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 1, parts: "none" });
    const pid = lab.state.hosts[0]?.pid ?? 0;
    const server = inNetworkOf(pid, () =>
      Bun.serve({ hostname: "127.0.0.1", port: 8080, fetch: async (request) => new Response(await request.bytes()) }),
    );
    using forward = forwardPort({ hostPid: pid, address: "127.0.0.1", port: 0, toAddress: "127.0.0.1", toPort: 8080 });
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    const big = Buffer.concat(Array.from({ length: 400 }, () => sent));
    const answer = await fetch(`http://127.0.0.1:${forward.port}/`, { method: "POST", body: big });
    expect(Buffer.from(await answer.arrayBuffer()).equals(big)).toBe(true);
    const half = await runCommand(["nc", "-N", "-w", "5", "127.0.0.1", String(forward.port)], {
      stdin: "GET / HTTP/1.0\r\n\r\n",
    });
    expect(half.stdout).toStartWith("HTTP/1.");
    await server.stop(true);
    // Nobody listens there any more: the connection ends at once instead of hanging.
    await expect(fetch(`http://127.0.0.1:${forward.port}/`)).rejects.toThrow();
    expect(() =>
      forwardPort({ hostPid: pid, address: "127.0.0.1", port: forward.port, toAddress: "127.0.0.1", toPort: 1 }),
    ).toThrow();
  },
  timeoutMs,
);

test(
  "the world beyond the lab answers, and says who asked",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 1, parts: "none" });
    const answer = await lab.mustExec("host1", ["curl", "-sS", "--max-time", "5", "http://outside/"]);
    expect(answer).toBe(`outside: you are ${lab.plan.hosts[0]?.address}\n`);
  },
  timeoutMs,
);

test(
  "a service that was killed is started again; containers outlive their daemon",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 1, parts: "docker" });
    const before = lab.state.hosts[0]?.services[0];
    await lab.restart("host1", "docker", "SIGKILL");
    const after = lab.state.hosts[0]?.services[0];
    expect(after?.restarts).toBe(1);
    expect(after?.phase).toBe("ready");
    expect(after?.pid).not.toBe(before?.pid);
    const live = await lab.mustExec("host1", ["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]);
    expect(live.trim()).toBe("true");
  },
  timeoutMs,
);

test(
  "a service that was paused and went on is still watched, and leaves nothing",
  async () => {
    await using lab = await Lab.create({ name: freshName(), hosts: 1, parts: "docker" });
    const docker = lab.state.hosts[0]?.services[0]?.pid ?? 0;
    process.kill(docker, "SIGSTOP");
    await until("Docker is paused", async () => (await Bun.file(`/proc/${docker}/stat`).text()).includes(") T "));
    process.kill(docker, "SIGCONT");
    await lab.restart("host1", "docker", "SIGKILL");
    expect(lab.state.hosts[0]?.services[0]?.restarts).toBe(1);
  },
  timeoutMs,
);
