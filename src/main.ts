/**
 * The one door: picks the role from the name the program was called by, or else from the first word.
 * Roles are loaded when called, so that `calicoctl version` does not pay for the web page.
 */

import { basename } from "node:path";
import { describeError } from "./base/errors.ts";
import type { Role, RoleIo } from "./base/role.ts";
import { version } from "./base/version.ts";

interface RoleEntry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly role: Role }>;
}

const roles: Readonly<Record<string, RoleEntry>> = {
  lab: {
    summary: "a cluster of virtual hosts on this machine: up, down, status, exec, logs, cut, heal",
    load: () => import("./cli/lab.ts"),
  },
  node: {
    summary: "the host agent: addresses, routes, firewall, Docker network driver",
    load: () => import("./cli/node.ts"),
  },
  store: { summary: "the embedded store, serving the etcd v3 protocol", load: () => import("./cli/store.ts") },
  master: {
    summary: "the cluster master: Mesos v1 scheduler and operator APIs",
    load: () => import("./cli/master.ts"),
  },
  agent: { summary: "the cluster agent: runs tasks in containers on this host", load: () => import("./cli/agent.ts") },
  marathon: { summary: "applications: Marathon's REST API and web page", load: () => import("./cli/marathon.ts") },
  calicoctl: { summary: "Calico's command line", load: () => import("./cli/calicoctl.ts") },
  explain: {
    summary: "why a connection passes or not, and whether the kernel agrees",
    load: () => import("./cli/explain.ts"),
  },
  supervise: {
    summary: "keeps a service of this host running (calicoctl node and master start it)",
    load: () => import("./cli/supervise.ts"),
  },
  start: {
    summary: "brings up a demo cluster and walks through the main job (npm start)",
    load: () => import("./cli/start.ts"),
  },
};

/** Names of the old stack that will be answered by roles still to come. */
const notBuiltYet: Readonly<Record<string, string>> = {
  calico: "the Calico CNI plug-in",
  "calico-ipam": "the Calico CNI IPAM plug-in",
  calico_mesos: "the Calico plug-in for Mesos net-modules",
  powerstrip: "the Powerstrip adapter",
  install: "the installer",
  dcos: "the DC/OS package",
};

export async function main(calledAs: string, words: readonly string[], io: RoleIo): Promise<number> {
  const own = basename(calledAs).replace(/\.(ts|js|exe)$/, "");
  const [name, argv] = own in roles || own in notBuiltYet ? [own, words] : [words[0], words.slice(1)];
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    io.stdout(usage());
    return name === undefined ? 1 : 0;
  }
  if (name === "version" || name === "--version") {
    io.stdout(`margay ${version}\n`);
    return 0;
  }
  const missing = Object.hasOwn(notBuiltYet, name) ? notBuiltYet[name] : undefined;
  if (missing !== undefined) {
    io.stderr(`${name}: ${missing} is not built yet in margay ${version}\n`);
    return 1;
  }
  const entry = Object.hasOwn(roles, name) ? roles[name] : undefined;
  if (entry === undefined) {
    io.stderr(`margay: unknown command "${name}"\n\n${usage()}`);
    return 1;
  }
  const { role } = await entry.load();
  return role.run(argv, io);
}

function usage(): string {
  const width = Math.max(...Object.keys(roles).map((name) => name.length));
  const lines = Object.entries(roles).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: margay COMMAND [OPTIONS]\n\nCommands:\n${lines.join("\n")}\n\n"margay COMMAND --help" tells more. Called as calicoctl, it is calicoctl.\n`;
}

function processIo(): RoleIo {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => stop.abort(new DOMException(`stopped by ${name}`, "AbortError")));
  }
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stdin: () => new Response(Bun.stdin.stream()).text(),
    env: process.env,
    signal: stop.signal,
  };
}

if (import.meta.main) {
  const io = processIo();
  // The wrapper script's own name, which Bun does not hand on when it runs from source. Not for our children.
  const calledAs = process.env.MARGAY_CALLED_AS ?? process.argv0;
  delete process.env.MARGAY_CALLED_AS;
  try {
    process.exitCode = await main(calledAs, process.argv.slice(2), io);
  } catch (error) {
    io.stderr(`margay: ${describeError(error)}\n`);
    if (process.env.MARGAY_LOG === "debug" && error instanceof Error) io.stderr(`${error.stack}\n`);
    process.exitCode = 1;
  }
  // A role has returned: nothing that it left open may keep the process, but what it wrote must get out.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done))));
  process.exit();
}
