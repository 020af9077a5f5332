/** `margay lab`: words in, text out; what a lab is and does lives in src/lab/. */

import { appendFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../base/clock.ts";
import { describeError, OperationError } from "../base/errors.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { parseLabName } from "../lab/address-plan.ts";
import type { LabParts } from "../lab/host-services.ts";
import { demoImages, imageNames } from "../lab/images/demo-images.ts";
import { Lab, type LabOptions } from "../lab/lab.ts";
import { labNames, readLabState } from "../lab/lab-state.ts";
import { labTable } from "../lab/lab-table.ts";
import { checkPrerequisites, installPrerequisites } from "../lab/prerequisites.ts";
import { programWords } from "../lab/program.ts";
import {
  execOnHost,
  serviceLogs,
  setHostLink,
  supervisorLog,
  takeDownLab,
  untilUp,
  viewLab,
} from "../lab/running-lab.ts";
import { printLog } from "../lab/service-log.ts";

interface UpOptions {
  readonly name: string;
  readonly hosts: number;
  readonly store: "embedded" | "etcd";
  readonly parts: LabParts;
  readonly detach?: true;
  readonly supervised?: true;
  readonly apiPort?: number;
  readonly masterPort?: number;
  readonly pull?: true;
}

export const role: Role = {
  summary: "a cluster of virtual hosts on this machine: up, down, status, exec, logs, cut, heal",
  async run(argv, io) {
    let exitCode = 0;
    const program = labCommands(io, (code) => {
      exitCode = code;
    });
    try {
      await program.parseAsync([...argv], { from: "user" });
      return exitCode;
    } catch (error) {
      if (error instanceof CommanderError) return error.exitCode;
      io.stderr(`margay lab: ${describeError(error)}\n`);
      if (error instanceof OperationError && error.remedy !== undefined) io.stderr(`Try: ${error.remedy}\n`);
      return 1;
    }
  },
};

function labCommands(io: RoleIo, exit: (code: number) => void): Command {
  const program = new Command("margay lab")
    .description(
      "A cluster of virtual hosts on this machine. Each host has a network, mounts and processes of its own, a real " +
        "Docker daemon, margay node and margay agent; host1 also the store, margay master and margay marathon. " +
        "It needs root, and leaves the machine as it was when it goes.",
    )
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
    .enablePositionalOptions();
  const command = (words: string) =>
    program.command(words).option("--name <name>", "which lab, when there are several", labName, "lab").exitOverride();

  command("up")
    .description("make the hosts, start everything, and stay until Ctrl-C (which takes it all down)")
    .option("--hosts <n>", "number of hosts", wholeNumber, 3)
    .addOption(new Option("--store <kind>", "where things are kept").choices(["embedded", "etcd"]).default("embedded"))
    .addOption(
      new Option("--parts <which>", "what runs on them: everything; store, node and Docker; Docker alone; nothing")
        .choices(["all", "network", "docker", "none"])
        .default("all"),
    )
    .option("--detach", "return when the lab is up; it stays until `margay lab down`")
    .option(
      "--api-port <port>",
      "host1's API and web page on this machine's 127.0.0.1 (default: 8080, or the next free)",
      port,
    )
    .option("--master-port <port>", "the master on this machine's 127.0.0.1 (default: 5050, or the next free)", port)
    .option(
      "--pull",
      `take the images ${imageNames.join(", ")} from a registry instead of building them from Debian packages`,
    )
    .addOption(new Option("--supervised").hideHelp())
    .action(async (options: UpOptions) => exit(options.detach ? await upDetached(options, io) : await up(options, io)));

  command("down")
    .description("take a lab down and remove every trace of it, whatever state it is in")
    .action(async ({ name }: { name: string }) => {
      io.stdout((await takeDownLab(name)) ? `Lab "${name}" is gone.\n` : `Lab "${name}" is not up: nothing to do.\n`);
    });

  program
    .command("status")
    .description("hosts, addresses, services and their states")
    .option("--name <name>", "only this lab", labName)
    .addOption(new Option("-o, --output <format>", "how to print it").choices(["table", "json"]).default("table"))
    .action(async ({ name, output }: { name?: string; output: string }) => {
      const views = await Promise.all((name === undefined ? readableLabs() : [name]).map(viewLab));
      if (output === "json") io.stdout(`${JSON.stringify({ labs: views }, null, 2)}\n`);
      else if (views.length === 0) io.stdout("No lab is up.\n");
      else io.stdout(views.map((view) => labTable(view, systemClock.nowMs())).join("\n"));
    });

  command("exec")
    .description("run a command on a host (or `outside`, the world beyond the lab); its exit code is ours")
    .argument("<host>")
    .argument("<cmd...>")
    .passThroughOptions()
    .action(async (host: string, words: readonly string[], { name }: { name: string }) => {
      exit(await execOnHost(name, host, words));
    });

  command("logs")
    .description("print what the services of a host wrote")
    .argument("<host>")
    .argument("[service]", "store, node, docker, agent, master or marathon")
    .option("-f, --follow", "go on as they write more")
    .action(async (host: string, service: string | undefined, options: { name: string; follow?: true }) => {
      const logs = serviceLogs(options.name, host, service);
      const follow = options.follow === true;
      await Promise.all(
        logs.map((log) => {
          const prefix = logs.length === 1 ? "" : `${log.service}: `;
          return printLog(log.path, { follow, prefix, signal: io.signal }, (text) => io.stdout(text));
        }),
      );
    });

  program
    .command("prerequisites")
    .description("check what a lab needs on this machine")
    .option("--install", "install what is missing (Debian, Ubuntu; as root)")
    .addOption(
      new Option("--for <purpose>", "what it is for").choices(["embedded", "etcd", "tests"]).default("embedded"),
    )
    .exitOverride()
    .action(async (options: { install?: true; for: "embedded" | "etcd" | "tests" }) => {
      if (options.install) await installPrerequisites(options.for, (line) => io.stderr(`${line} ...\n`));
      else checkPrerequisites(options.for);
    });

  for (const [verb, isUp, description] of [
    ["cut", false, "take a host off the lab's network, as if its cable were pulled"],
    ["heal", true, "put a host back on the lab's network"],
  ] as const) {
    command(verb)
      .description(description)
      .argument("<host>")
      .action(async (host: string, { name }: { name: string }) => setHostLink(name, host, isUp));
  }
  return program;
}

async function up(options: UpOptions, io: RoleIo): Promise<number> {
  // A supervisor's output ends in a pipe that nobody reads any more once the lab is up: after that, its log only.
  let reading = true;
  const log = (line: string) => {
    if (reading) io.stdout(`${line}\n`);
    if (options.supervised)
      appendFileSync(supervisorLog(options.name), `${new Date(systemClock.nowMs()).toISOString()} ${line}\n`);
  };
  const labOptions: LabOptions = {
    name: options.name,
    hosts: options.hosts,
    store: options.store,
    parts: options.parts,
    ...(options.apiPort === undefined ? {} : { apiPort: options.apiPort }),
    ...(options.masterPort === undefined ? {} : { masterPort: options.masterPort }),
    images: demoImages({ pull: options.pull === true }),
    onProgress: log,
    signal: io.signal,
  };
  let lab: Lab;
  try {
    lab = await Lab.create(labOptions);
  } catch (error) {
    if (!io.signal.aborted) throw error;
    io.stdout(`Stopped; lab "${options.name}" is gone.\n`);
    return 130;
  }
  if (options.supervised) reading = false;
  else log(upText(options));
  await lab.finished.catch((error: unknown) => log(describeError(error)));
  if (!options.supervised) io.stdout(`\nTaking lab "${lab.name}" down ...\n`);
  await lab.down();
  if (!options.supervised) io.stdout(`Lab "${lab.name}" is gone.\n`);
  return 0;
}

function upText(options: UpOptions): string {
  const state = readLabState(options.name);
  const ports = state?.forwards.map(({ name, address, port }) => `${name} http://${address}:${port}/`) ?? [];
  const where = ports.length === 0 ? "" : `: ${ports.join(", ")}`;
  const named = options.name === "lab" ? "" : ` --name ${options.name}`;
  const end = options.detach ? `Take it down with: margay lab down${named}` : "Ctrl-C takes it down.";
  return [`Lab "${options.name}" is up${where}`, `Try: margay lab exec${named} host1 docker ps`, end].join("\n");
}

/** Starts the same command as a process of its own and shows its progress until the lab is up. */
async function upDetached(options: UpOptions, io: RoleIo): Promise<number> {
  const words = [
    ...["lab", "up", "--supervised", `--name=${options.name}`, `--hosts=${options.hosts}`, `--store=${options.store}`],
    `--parts=${options.parts}`,
    ...(options.apiPort === undefined ? [] : [`--api-port=${options.apiPort}`]),
    ...(options.masterPort === undefined ? [] : [`--master-port=${options.masterPort}`]),
    ...(options.pull ? ["--pull"] : []),
  ];
  const child = Bun.spawn([...programWords, ...words], { stdio: ["ignore", "pipe", "pipe"], cwd: "/", detached: true });
  const onStop = () => void child.kill("SIGTERM");
  io.signal.addEventListener("abort", onStop, { once: true });
  const showing = Promise.all([show(child.stdout, io.stdout), show(child.stderr, io.stderr)]);
  const isUp = await untilUp(options.name, child);
  io.signal.removeEventListener("abort", onStop);
  if (isUp && !io.signal.aborted) {
    child.unref();
    io.stdout(`${upText(options)}\n`);
    return 0;
  }
  await showing;
  return (await child.exited) || 1;
}

async function show(stream: ReadableStream<Uint8Array>, print: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) print(decoder.decode(chunk, { stream: true }));
}

function readableLabs(): readonly string[] {
  return labNames().filter((name) => readLabState(name) !== undefined);
}

function labName(text: string): string {
  return argument(() => parseLabName(text));
}

function wholeNumber(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new InvalidArgumentError("A number is expected.");
  return Number(text);
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65_535) {
    throw new InvalidArgumentError("A port from 1 to 65535 is expected.");
  }
  return Number(text);
}

function argument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(describeError(error));
  }
}
