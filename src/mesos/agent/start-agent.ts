/** Puts an agent together from its flags and serves until the signal. */

import { mkdir, realpath } from "node:fs/promises";
import { hostname } from "node:os";
import type { Clock } from "../../base/clock.ts";
import { BadInput } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { DockerEngine } from "../../plugins/docker/engine/docker-engine.ts";
import { parseDefaultDns } from "../containerizer/docker/default-dns.ts";
import { DockerContainerizer } from "../containerizer/docker/docker-containerizer.ts";
import { readDockerConfig } from "../containerizer/docker/registry-login.ts";
import { parseAttributes } from "../protocol/resource-grammar.ts";
import { Agent } from "./agent.ts";
import { type AgentFlags, parseMasters } from "./agent-flags.ts";
import { AgentServer } from "./http/agent-server.ts";
import { agentResources, inspectMachine } from "./machine-resources.ts";
import { changeProblem } from "./reconfiguration.ts";

/** What this agent says it is: clients compare it with Mesos' versions. */
export const mesosVersion = "1.11.0";

export async function startAgent(
  flags: AgentFlags,
  options: { readonly clock: Clock; readonly log: Log; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, log, signal } = options;
  if (!flags.work_dir.startsWith("/"))
    throw new BadInput("--work_dir", `"${flags.work_dir}" is relative`, "an absolute path");
  await mkdir(flags.work_dir, { recursive: true, mode: 0o711 });
  // The real path: sandboxes are compared with what the kernel says was opened.
  const workDirectory = await realpath(flags.work_dir);
  const containerizer = new DockerContainerizer({
    engine: new DockerEngine({ clock, host: dockerHost(flags) }),
    clock,
    log,
    workDirectory,
    mappedDirectory: flags.sandbox_directory,
    cfsEnabled: flags.cgroups_enable_cfs,
    defaultDns: flags.default_container_dns === undefined ? [] : parseDefaultDns(flags.default_container_dns),
    dockerConfig: flags.docker_config === undefined ? undefined : await readDockerConfig(flags.docker_config),
    pullTimeoutMs: flags.executor_registration_timeout,
  });
  const agent = new Agent(
    {
      clock,
      log,
      masters: parseMasters(flags.master),
      ip: flags.advertise_ip ?? flags.ip,
      version: mesosVersion,
      workDirectory,
      containerizer,
      info: {
        hostname: flags.hostname ?? hostname(),
        port: flags.advertise_port ?? flags.port,
        resources: agentResources(flags.resources, flags.default_role, await inspectMachine(workDirectory)),
        attributes: flags.attributes === undefined ? [] : parseAttributes(flags.attributes, "--attributes"),
      },
      removeDelayMs: flags.docker_remove_delay,
      killOrphans: flags.docker_kill_orphans,
      graceDefaultMs: flags.docker_stop_timeout ?? flags.executor_shutdown_grace_period,
      gcDelayMs: flags.gc_delay,
      registrationBackoffMs: flags.registration_backoff_factor,
      frameworksHome: flags.frameworks_home,
      acceptChanged: (before, now) => changeProblem(flags.reconfiguration_policy, before, now),
    },
    signal,
  );
  await using server = new AgentServer({
    agent,
    clock,
    log,
    build: { version: mesosVersion, buildDate: "2020-11-24 17:31:02", buildTime: 1606239062 },
    flags: flags.shown,
    hostname: flags.ip,
    port: flags.port,
  });
  log.info({ event: "agent-listening", ip: flags.ip, port: server.port });
  await agent.run();
}

/** `--docker` names a program in Mesos; a daemon's address there wins over the socket. */
function dockerHost(flags: AgentFlags): string {
  return /^(unix|tcp|https?):/.test(flags.docker) ? flags.docker : `unix://${flags.docker_socket}`;
}
