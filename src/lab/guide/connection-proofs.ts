/**
 * Who can reach whom, tried with real connections from real containers, in TCP, ICMP and UDP, on one host and across
 * hosts. A refusal proves nothing when the asker has no network at all: each outsider also has to reach its own kind.
 */

import { systemClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import type { Lab } from "../lab.ts";
import { networkName, otherNetworkName, type TaskPlace } from "./guide.ts";

export interface Proof {
  readonly claim: string;
  readonly passed: boolean;
  readonly seen: string;
}

interface Outcome {
  readonly reached: boolean;
  readonly seen: string;
}

type Attempt = () => Promise<Outcome>;

/** Where a probing container or host stands. */
interface Asker {
  readonly title: string;
  readonly host: string;
  /** Undefined: the host itself. */
  readonly container: string | undefined;
}

const prefix = "guide-";
const echoPort = 9000;
const networkWithinMs = 20_000;

export async function proveConnections(
  lab: Lab,
  tasks: readonly TaskPlace[],
  report: (proof: Proof) => void,
  signal: AbortSignal,
): Promise<readonly Proof[]> {
  const hosts = lab.plan.hosts.map(({ name }) => name);
  const [one, two = one] = hosts;
  if (one === undefined || two === undefined) throw new OperationError("LAB_NO_HOST", "the lab has no host");
  await createNetwork(lab, one, otherNetworkName);
  for (const host of [one, two])
    for (const network of [networkName, otherNetworkName]) await untilNetwork(lab, host, network, signal);

  const member = await startAsker(lab, two, networkName, "member");
  const outsider = await startAsker(lab, two, otherNetworkName, "outsider");
  const memberEcho = await startEcho(lab, one, networkName, "member-echo");
  const outsiderEcho = await startEcho(lab, one, otherNetworkName, "outsider-echo");

  const proofs: Proof[] = [];
  const prove = async (claim: string, expected: boolean, attempt: Attempt) => {
    signal.throwIfAborted();
    const { reached, seen } = await attempt();
    const proof = { claim, passed: reached === expected, seen };
    proofs.push(proof);
    report(proof);
  };
  const http =
    (asker: Asker, address: string, port = 80) =>
    () =>
      httpReaches(lab, asker, address, port);
  const ping = (asker: Asker, address: string) => () => pingReaches(lab, asker, address);
  const udp = (asker: Asker, address: string) => () => udpReaches(lab, asker, address);
  const from = (asker: Asker, task: TaskPlace) =>
    `${asker.title} on ${asker.host} %s ${task.address} on ${task.host} (${asker.host === task.host ? "same host" : "across hosts"})`;

  for (const task of tasks) {
    const text = from(member, task);
    await prove(`${text.replace("%s", "reaches")}, HTTP`, true, http(member, task.address));
    await prove(`${text.replace("%s", "reaches")}, ping`, true, ping(member, task.address));
  }
  await prove(`a member on ${two} reaches a member on ${one}, UDP`, true, udp(member, memberEcho));
  await prove(`an outsider on ${two} reaches its own kind on ${one}, UDP`, true, udp(outsider, outsiderEcho));
  await prove(`an outsider on ${two} reaches its own kind on ${one}, ping`, true, ping(outsider, outsiderEcho));
  for (const task of tasks) {
    const text = from(outsider, task);
    await prove(`${text.replace("%s", "does not reach")}, HTTP`, false, http(outsider, task.address));
    await prove(`${text.replace("%s", "does not reach")}, ping`, false, ping(outsider, task.address));
  }
  await prove(`an outsider on ${two} does not reach a member on ${one}, UDP`, false, udp(outsider, memberEcho));
  await prove(`a member on ${two} does not reach an outsider on ${one}, UDP`, false, udp(member, outsiderEcho));
  await prove(`a member on ${two} does not reach an outsider on ${one}, ping`, false, ping(member, outsiderEcho));

  for (const task of tasks) {
    const own: Asker = { title: "the machine", host: task.host, container: undefined };
    await prove(`host ${task.host} reaches its own task ${task.address}, HTTP`, true, http(own, task.address));
    const other = hosts.find((host) => host !== task.host);
    if (other === undefined) continue;
    const foreign: Asker = { title: "the machine", host: other, container: undefined };
    await prove(
      `host ${other} does not reach ${task.address} on ${task.host}, HTTP`,
      false,
      http(foreign, task.address),
    );
  }
  await prove(`a member on ${two} reaches the world beyond the lab, HTTP`, true, http(member, lab.plan.outside));
  return proofs;
}

/** What the proofs have made goes; the application stays. */
export async function removeAskers(lab: Lab): Promise<void> {
  for (const { name } of lab.plan.hosts) {
    const ids = (await lab.mustExec(name, ["docker", "ps", "-aq", "--filter", `name=^${prefix}`]))
      .split("\n")
      .filter(Boolean);
    if (ids.length > 0) await lab.mustExec(name, ["docker", "rm", "-f", ...ids]);
  }
}

async function createNetwork(lab: Lab, host: string, name: string): Promise<void> {
  await lab.mustExec(host, ["docker", "network", "create", "--driver=calico", "--ipam-driver=calico", name]);
}

/** A network made on one host appears on the others in a moment. */
async function untilNetwork(lab: Lab, host: string, name: string, signal: AbortSignal): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + networkWithinMs;
  while ((await lab.exec(host, ["docker", "network", "inspect", name])).exitCode !== 0) {
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new OperationError(
        "GUIDE_WAIT",
        `network ${name} has not appeared on ${host} within ${networkWithinMs / 1000} s`,
      );
    }
    await systemClock.sleep(100, signal);
  }
}

async function startAsker(lab: Lab, host: string, network: string, name: string): Promise<Asker> {
  await runContainer(lab, host, network, name, ["sleep", "1000000"]);
  return { title: name === "member" ? "a member" : "an outsider", host, container: `${prefix}${name}` };
}

/** Answers the address of a container that replies "pong" to each first UDP datagram. */
async function startEcho(lab: Lab, host: string, network: string, name: string): Promise<string> {
  const loop = `while :; do echo pong | nc -u -l -w 1 ${echoPort}; done`;
  await runContainer(lab, host, network, name, ["sh", "-c", loop]);
  const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  return (await lab.mustExec(host, ["docker", "inspect", "-f", format, `${prefix}${name}`])).trim();
}

async function runContainer(
  lab: Lab,
  host: string,
  network: string,
  name: string,
  words: readonly string[],
): Promise<void> {
  await lab.mustExec(host, ["docker", "run", "-d", "--name", `${prefix}${name}`, "--net", network, "tools", ...words]);
}

function ask(lab: Lab, { host, container }: Asker, words: readonly string[]) {
  return lab.exec(host, container === undefined ? words : ["docker", "exec", container, ...words], {
    timeoutMs: 30_000,
  });
}

async function httpReaches(lab: Lab, asker: Asker, address: string, port: number): Promise<Outcome> {
  const words = [
    "curl",
    "-sS",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code}",
    "--max-time",
    "3",
    `http://${address}:${port}/`,
  ];
  const { exitCode, stdout, stderr } = await ask(lab, asker, words);
  return { reached: exitCode === 0, seen: exitCode === 0 ? `HTTP ${stdout.trim()}` : lastLine(stderr) };
}

async function pingReaches(lab: Lab, asker: Asker, address: string): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await ask(lab, asker, [
    "ping",
    "-n",
    "-c",
    "2",
    "-i",
    "0.2",
    "-W",
    "2",
    address,
  ]);
  const summary = /\d+ packets transmitted.*loss/.exec(stdout)?.[0] ?? lastLine(stderr);
  return { reached: exitCode === 0, seen: summary };
}

async function udpReaches(lab: Lab, asker: Asker, address: string): Promise<Outcome> {
  // The echo begins anew after each asker: a few datagrams, until one of them is answered.
  const words = ["sh", "-c", `for i in 1 2 3 4; do echo ping | nc -u -w 1 ${address} ${echoPort} && :; done`];
  const { stdout } = await ask(lab, asker, words);
  return { reached: stdout.includes("pong"), seen: stdout.includes("pong") ? "answered" : "no answer" };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
