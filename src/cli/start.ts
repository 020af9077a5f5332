/** `margay start`, which is `npm start`: a lab of three hosts, then the main job step by step, then the proofs. */

import { Command, CommanderError, Option } from "commander";
import { systemClock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { labTraces } from "../lab/clean-up.ts";
import { type Proof, proveConnections, removeAskers } from "../lab/guide/connection-proofs.ts";
import { Guide, networkName, otherNetworkName } from "../lab/guide/guide.ts";
import { demoImages } from "../lab/images/demo-images.ts";
import { Lab } from "../lab/lab.ts";

interface StartOptions {
  readonly check?: true;
  readonly store: "embedded" | "etcd";
  readonly name: string;
  readonly pull?: true;
}

const hostCount = 3;

export const role: Role = {
  summary: "brings up a demo cluster and walks through the main job (npm start)",
  async run(argv, io) {
    const program = new Command("margay start")
      .description(`Brings up a lab of ${hostCount} hosts and walks through the main job step by step.`)
      .option("--check", "do the same, take it down, and end with 0 only if every proof has passed")
      .addOption(
        new Option("--store <kind>", "where things are kept").choices(["embedded", "etcd"]).default("embedded"),
      )
      .option("--name <name>", "name of the lab", "lab")
      .option("--pull", "take the images from a registry instead of building them from Debian packages")
      .exitOverride()
      .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) });
    try {
      program.parse([...argv], { from: "user" });
    } catch (error) {
      if (error instanceof CommanderError) return error.exitCode;
      throw error;
    }
    return start(program.opts<StartOptions>(), io);
  },
};

async function start(options: StartOptions, io: RoleIo): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  const say = (line: string) => io.stdout(`${line}\n`);
  say(`== Bring up ${hostCount} virtual hosts\n$ margay lab up --hosts ${hostCount}`);
  let lab: Lab | undefined;
  let proofs: readonly Proof[] = [];
  let done = false;
  try {
    lab = await Lab.create({
      name: options.name,
      hosts: hostCount,
      store: options.store,
      images: demoImages({ pull: options.pull === true }),
      onProgress: (line) => say(`   ${line}`),
      signal: io.signal,
    });
    proofs = await walk(lab, io);
    done = true;
    say(`\n${verdict(proofs, startedMs)}`);
    if (!options.check) {
      say(whatNext(lab));
      await lab.finished;
    }
  } catch (error) {
    if (!io.signal.aborted) io.stderr(`\nmargay start: ${describeError(error)}\n`);
    if (lab !== undefined && !io.signal.aborted && !options.check) {
      say(
        "\nThe lab is still up, for a look at what went wrong: margay lab status, margay lab logs host1. Ctrl-C ends it.",
      );
      await lab.finished.catch(() => undefined);
    }
  }
  if (lab !== undefined) {
    say("\nTaking the lab down ...");
    await lab.down();
    const left = await labTraces(lab.name);
    proofs = [
      ...proofs,
      shown(io, {
        claim: "nothing of the lab is left on this machine",
        passed: left.length === 0,
        seen: left.join(", ") || "no process, cgroup or file",
      }),
    ];
  }
  if (!done) return io.signal.aborted ? 130 : 1;
  if (options.check) say(verdict(proofs, startedMs));
  return proofs.every(({ passed }) => passed) ? 0 : 1;
}

function verdict(proofs: readonly Proof[], startedMs: number): string {
  const failed = proofs.filter(({ passed }) => !passed);
  const seconds = ((systemClock.monotonicMs() - startedMs) / 1000).toFixed(0);
  const lines = failed.map(({ claim, seen }) => `FAILED  ${claim} [${seen}]`);
  return [
    ...lines,
    `${proofs.length - failed.length} of ${proofs.length} proofs passed, ${seconds} s after the start.`,
  ].join("\n");
}

function shown(io: RoleIo, proof: Proof): Proof {
  io.stdout(`${proof.passed ? "passed" : "FAILED"}  ${proof.claim} [${proof.seen}]\n`);
  return proof;
}

async function walk(lab: Lab, io: RoleIo): Promise<readonly Proof[]> {
  const guide = new Guide(lab, io.stdout, io.signal);
  const tasks = await guide.run(hostCount);
  guide.showTasks(tasks);
  guide.step(`Who can reach them: members of ${networkName}, and nobody else (outsiders are on ${otherNetworkName})`);
  const spread = new Set(tasks.map(({ host }) => host)).size === hostCount;
  const first: Proof = {
    claim: `${hostCount} tasks run on ${hostCount} hosts`,
    passed: spread,
    seen: tasks.map(({ host }) => host).join(", "),
  };
  const report = (proof: Proof) => void shown(io, proof);
  report(first);
  const proofs = await proveConnections(lab, tasks, report, io.signal);
  await removeAskers(lab);
  guide.showTasks(await guide.tasks());
  return [first, ...proofs];
}

function whatNext(lab: Lab): string {
  const ports = new Map(lab.state.forwards.map(({ name, port }) => [name, port]));
  const named = lab.name === "lab" ? "" : ` --name ${lab.name}`;
  return `
Web page        http://127.0.0.1:${ports.get("api")}/
API             curl http://127.0.0.1:${ports.get("api")}/v2/apps
Master's state  curl http://127.0.0.1:${ports.get("master")}/master/state

What to try next, from another terminal (./margay in this folder):
  margay lab status${named}
  margay lab exec${named} host2 docker run --rm -it --net ${networkName} tools sh
  margay lab exec${named} host1 calicoctl profile ${networkName} rule show
  margay lab cut${named} host3        its tasks are replaced elsewhere; then: margay lab heal${named} host3
  margay lab logs${named} host1 marathon -f

Ctrl-C takes everything down and leaves the machine as it was.`;
}
