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

  const attempts: { readonly claim: string; readonly expected: boolean; readonly outcome: Promise<Outcome> }[] = [];
  const prove = (claim: string, expected: boolean, attempt: Attempt) => {
    const outcome = attempt();
    // Awaited below, in the order of the claims; until then a failure must not count as unhandled.
    outcome.catch(() => undefined);
    attempts.push({ claim, expected, outcome });
  };
  const proofs: Proof[] = [];
  const settle = async () => {
    for (const { claim, expected, outcome } of attempts.splice(0)) {
      signal.throwIfAborted();
      const { reached, seen } = await outcome;
      const proof = { claim, passed: reached === expected, seen };
      proofs.push(proof);
      report(proof);
    }
  };
  const http = (asker: Asker, address: string) => () => httpReaches(lab, asker, address);
  const ping = (asker: Asker, address: string) => () => pingReaches(lab, asker, address);
  const udp = (asker: Asker, address: string) => () => udpReaches(lab, asker, address);
  const claimOf = (asker: Asker, verb: string, task: TaskPlace) =>
    `${asker.title} on ${asker.host} ${verb} ${task.address} on ${task.host}` +
    ` (${asker.host === task.host ? "same host" : "across hosts"})`;

  for (const task of tasks) {
    prove(`${claimOf(member, "reaches", task)}, HTTP`, true, http(member, task.address));
    prove(`${claimOf(member, "reaches", task)}, ping`, true, ping(member, task.address));
  }
  prove(`a member on ${two} reaches a member on ${one}, UDP`, true, udp(member, memberEcho));
  prove(`a member on ${two} reaches the world beyond the lab, HTTP`, true, http(member, lab.plan.outside));
  prove(`an outsider on ${two} reaches its own kind on ${one}, UDP`, true, udp(outsider, outsiderEcho));
  prove(`an outsider on ${two} reaches its own kind on ${one}, ping`, true, ping(outsider, outsiderEcho));
  await settle();
  for (const task of tasks) {
    prove(`${claimOf(outsider, "does not reach", task)}, HTTP`, false, http(outsider, task.address));
    prove(`${claimOf(outsider, "does not reach", task)}, ping`, false, ping(outsider, task.address));
  }
  prove(`an outsider on ${two} does not reach a member on ${one}, UDP`, false, udp(outsider, memberEcho));
  prove(`a member on ${two} does not reach an outsider on ${one}, UDP`, false, udp(member, outsiderEcho));
  prove(`a member on ${two} does not reach an outsider on ${one}, ping`, false, ping(member, outsiderEcho));
  await settle();
  for (const task of tasks) {
    const own: Asker = { title: "the host", host: task.host, container: undefined };
    prove(`${task.host} itself reaches its own task ${task.address}, HTTP`, true, http(own, task.address));
    const other = hosts.find((host) => host !== task.host);
    if (other === undefined) continue;
    const foreign: Asker = { title: "the host", host: other, container: undefined };
    prove(`${other} itself does not reach ${task.address} on ${task.host}, HTTP`, false, http(foreign, task.address));
  }
  await settle();
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

/** Answers the address of a container that replies "pong" to UDP datagrams. */
async function startEcho(lab: Lab, host: string, network: string, name: string): Promise<string> {
  await runContainer(lab, host, network, name, ["socat", `UDP-RECVFROM:${echoPort},fork`, "SYSTEM:echo pong"]);
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

async function httpReaches(lab: Lab, asker: Asker, address: string): Promise<Outcome> {
  const words = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "3", `http://${address}/`];
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
  // A datagram may come before the echo listens: three of them, until one is answered.
  const words = [
    "sh",
    "-c",
    `for i in 1 2 3; do echo ping | socat -t 1 - UDP:${address}:${echoPort} | grep pong && break; done`,
  ];
  const { stdout, stderr } = await ask(lab, asker, words);
  const reached = stdout.includes("pong");
  return { reached, seen: reached ? "answered" : lastLine(stderr) || "no answer" };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
