/**
 * Names and labels that mark a container as ours, so that a restarted agent recognises it without memory.
 * The prefix `mesos-` is shared by every agent on one daemon (Mesos' own trap, reference/docker.md 6.6): a name says
 * "some agent's", only the label says whose.
 */

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const containerNamePrefix = "mesos-";

export const taskLabels = {
  agent: "org.margay.agent",
  framework: "org.margay.framework",
  task: "org.margay.task",
  container: "org.margay.container",
} as const;

export function containerName(containerId: string): string {
  return `${containerNamePrefix}${containerId}`;
}

/**
 * The container id in a Docker name, undefined when it is not one of an agent's. Three forms: `mesos-<uuid>` (Mesos up to
 * 0.22 and from 1.4), `mesos-<agent>.<uuid>` (0.23 to 1.3), and either with `.executor` at its end.
 */
export function containerIdOfName(dockerName: string): string | undefined {
  const name = dockerName.replace(/^\//, "");
  if (!name.startsWith(containerNamePrefix)) return undefined;
  const parts = name.slice(containerNamePrefix.length).split(".");
  if (parts.at(-1) === "executor") parts.pop();
  const id = parts.length === 1 ? parts[0] : parts.length === 2 ? parts[1] : undefined;
  return id !== undefined && uuidPattern.test(id) ? id : undefined;
}
