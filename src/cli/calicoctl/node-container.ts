/**
 * A node in a container of a given image, for `calicoctl node --node-image` and `calicoctl node run --node-image`. It gets the
 * rights that a node uses on its host one by one, not all there are (--privileged): whoever sees the command sees what the
 * node can do, and a host that has given up a right, as one that is a container itself, still runs a node.
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { OperationError } from "../../base/errors.ts";
import type { ContainerConfig } from "../../plugins/docker/engine/container-shapes.ts";
import { stopService, until } from "../services/local-services.ts";
import { servicePlaces } from "../services/service-record.ts";
import { nodeContainer, nodeInContainer, nodeState } from "./classic/node-state.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "./command.ts";

export interface NodeContainer {
  readonly image: string;
  readonly env: Readonly<Record<string, string>>;
  readonly binds: readonly string[];
  /** Docker starts it again whenever it ends; false: it is waited for, and gone when it ends. */
  readonly stays: boolean;
}

export interface NodeContainerTold {
  readonly onStarted?: (id: string) => void;
  /** What the container says while it is waited for. */
  readonly onLog?: (text: string) => void;
}

/** What calico/node says when it is up. */
const startedLine = "Calico node started successfully";
const startedWithinMs = 60_000;
const logLinesKept = 200;
const secretNames = ["ETCD_PASSWORD"];

/**
 * NET_ADMIN for interfaces, routes and rules; SYS_ADMIN to enter the network of a container (setns(2)), SYS_PTRACE to open it
 * below /proc when the container's user is not root (ptrace(2), access mode checking).
 */
const capabilities = ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"];
/** AppArmor's and SELinux' rules for containers forbid to write /proc/sys/net and to use the sockets below /run. */
const securityOptions = ["apparmor=unconfined", "label=disable"];

/** What `docker run` is told of the rights. */
export const accessFlags: readonly string[] = [
  ...["--net=host", "--pid=host"],
  ...capabilities.map((name) => `--cap-add=${name}`),
  // Without it /proc/sys is read-only.
  ...["systempaths=unconfined", ...securityOptions].map((option) => `--security-opt=${option}`),
];

function containerConfig({ image, env, binds, stays }: NodeContainer): ContainerConfig {
  return {
    Image: image,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    HostConfig: {
      NetworkMode: "host",
      PidMode: "host",
      CapAdd: capabilities,
      SecurityOpt: securityOptions,
      MaskedPaths: [],
      ReadonlyPaths: [],
      ...(stays ? { RestartPolicy: { Name: "always" } } : {}),
      Binds: binds,
    },
  };
}

/** What `docker run` is told of everything but the rights; a secret is taken from the environment of who types it. */
export function contentWords({ image, env, binds }: NodeContainer): readonly string[] {
  const variables = Object.entries(env).flatMap(([name, value]) => [
    "-e",
    secretNames.includes(name) ? name : `${name}=${value}`,
  ]);
  return [...variables, ...binds.flatMap((bind) => ["-v", bind]), image];
}

/** Logs, what must survive the container, and /run with Docker's socket, its folder of network drivers and the node's socket. */
export function nodeBinds(logDir: string, runDir: string): readonly string[] {
  return [
    `${resolve(logDir)}:/var/log/calico`,
    ...["/var/run/calico", "/var/lib/calico", "/var/lib/margay"].map((path) => `${path}:${path}`),
    // Docker would make the folder.
    ...(existsSync("/lib/modules") ? ["/lib/modules:/lib/modules:ro"] : []),
    "/run:/run",
    ...(runDir === "/run/margay" ? [] : [`${resolve(runDir)}:/run/margay`]),
  ];
}

/** Where a container of calico/node expects certificates. */
const certificates = [
  ["ETCD_CA_CERT_FILE", "/etc/calico/certs/ca_cert.crt"],
  ["ETCD_KEY_FILE", "/etc/calico/certs/key.pem"],
  ["ETCD_CERT_FILE", "/etc/calico/certs/cert.crt"],
] as const;

/** How to get into the store, as far as the environment says it. */
export function storeAccess(env: Readonly<Record<string, string | undefined>>) {
  const setting = (name: string) => env[`CALICO_${name}`] || env[name] || undefined;
  const found = certificates.flatMap(([name, path]) => {
    const file = setting(name);
    return file === undefined ? [] : [{ name, path, file }];
  });
  const users = ["ETCD_USERNAME", "ETCD_PASSWORD"].flatMap((name) => {
    const value = setting(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    env: Object.fromEntries([...found.map(({ name, path }) => [name, path] as const), ...users]),
    binds: found.map(({ path, file }) => `${resolve(file)}:${path}:ro`),
  };
}

/** @throws CommandFailure in the words of the classic releases */
export async function fetchImage(
  { host }: CalicoctlContext,
  image: string,
  { pull, onPull }: { readonly pull: boolean; readonly onPull?: () => void },
): Promise<void> {
  const docker = await host.docker();
  if ((await docker.images.inspect(image)) !== undefined) return;
  if (!pull)
    throw new CommandFailure("stdout", paragraph(`ERROR: There is no image ${image} here, and --no-pull is set.`));
  onPull?.();
  try {
    await docker.images.pull(image);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const problem = paragraph("ERROR: Unable to download Docker image.");
    throw new CommandFailure("stdout", problem + paragraph(error.message));
  }
}

/** In place of what calicoctl has started before. Resolves when the node is up; of one that does not stay, when it has ended. @throws CommandFailure, OperationError */
export async function startNodeContainer(
  context: CalicoctlContext,
  node: NodeContainer,
  told: NodeContainerTold,
): Promise<number> {
  const { io, clock } = context;
  await stopService(servicePlaces(io.env), "node", clock);
  const id = await startContainer(context, nodeContainer, containerConfig(node));
  told.onStarted?.(id);
  if (!node.stays) return await untilEnded(context, id);
  await untilUp(context, id, {
    what: "The node's container",
    isUp: async (log) => io.signal.aborted || log.includes(startedLine) || (await nodeState(context)).kind === "ready",
    ...(told.onLog === undefined ? {} : { onLog: told.onLog }),
  });
  return 0;
}

/** One of that name is replaced; one that cannot be started would be in the way of the next. Answers its id. */
export async function startContainer(
  context: CalicoctlContext,
  name: string,
  config: ContainerConfig,
): Promise<string> {
  await removeContainer(context, name);
  const { containers } = await context.host.docker();
  const { Id } = await containers.create(config, { name });
  try {
    await containers.start(Id);
  } catch (error) {
    await containers.remove(Id, { force: true });
    throw error;
  }
  return Id;
}

/** What is not there is no error. */
export async function removeContainer(context: CalicoctlContext, name: string): Promise<void> {
  const old = await nodeInContainer(context, name);
  if (old !== undefined) await (await context.host.docker()).containers.remove(old.Id, { force: true });
}

interface Start {
  readonly what: string;
  readonly isUp: (log: string) => Promise<boolean>;
  readonly onLog?: (text: string) => void;
}

/** One that ends before, or takes too long, is removed: with its restart policy Docker would start it for ever. */
export async function untilUp(
  { clock, host }: CalicoctlContext,
  id: string,
  { what, isUp, onLog }: Start,
): Promise<void> {
  const { containers } = await host.docker();
  let log = "";
  const outcome = await until(clock, startedWithinMs, async () => {
    const said = log;
    log = await logOf(containers, id);
    onLog?.(log.startsWith(said) ? log.slice(said.length) : log);
    if (await isUp(log)) return "up";
    const { State, RestartCount } = await containers.inspect(id);
    return State.Running && State.ExitCode === 0 && Number(RestartCount ?? 0) === 0 ? undefined : "ended";
  });
  if (outcome === "up") return;
  await containers.remove(id, { force: true });
  const why = outcome === "ended" ? "has ended" : "did not get ready in time";
  throw new CommandFailure("stdout", `${what} ${why}; its last words:\n${log.slice(-2_000)}\n`);
}

/** What it says goes on to the caller's output; it is stopped when calicoctl is. Answers its exit code. */
async function untilEnded({ io, host }: CalicoctlContext, id: string): Promise<number> {
  const { containers } = await host.docker();
  // One that does not stop goes on saying something.
  const stop = () => void containers.stop(id).catch(() => undefined);
  if (io.signal.aborted) stop();
  io.signal.addEventListener("abort", stop, { once: true });
  try {
    const decoder = new TextDecoder();
    for await (const { bytes } of containers.logs(id, { tty: false, follow: true }))
      io.stdout(decoder.decode(bytes, { stream: true }));
    return (await containers.wait(id)).exitCode;
  } finally {
    io.signal.removeEventListener("abort", stop);
    await containers.remove(id, { force: true });
  }
}

type Containers = Awaited<ReturnType<CalicoctlContext["host"]["docker"]>>["containers"];

async function logOf(containers: Containers, id: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const { bytes } of containers.logs(id, { tty: false, tail: logLinesKept }))
    text += decoder.decode(bytes, { stream: true });
  return text;
}
