/** A node in a container of a given image, as the classic releases started theirs (calicoctl.md 3.8). */

import { existsSync, mkdirSync } from "node:fs";
import { OperationError } from "../../../base/errors.ts";
import { until } from "../../services/local-services.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "../command.ts";
import { dockerFailure } from "./container-lookup.ts";
import type { NodeWishes } from "./node-start.ts";
import { nodeContainer, nodeInContainer, nodeState } from "./node-state.ts";

const startedLine = "Calico node started successfully";
const startedWithinMs = 60_000;
const logDirDefault = "/var/log/calico";

type Docker = Awaited<ReturnType<CalicoctlContext["host"]["docker"]>>;

export async function startAsContainer(context: CalicoctlContext, wishes: NodeWishes, image: string): Promise<void> {
  const { io, host } = context;
  const docker = await host.docker();
  const config = await containerConfig(context, wishes, image);
  try {
    await fetchImage(context, image, wishes.pull);
    for (const path of [wishes.logDir ?? logDirDefault, "/var/run/calico", "/run/margay"])
      mkdirSync(path, { recursive: true });
    const old = await nodeInContainer(context);
    if (old !== undefined) await docker.containers.remove(old.Id, { force: true });
    io.stdout(`Running Docker container with the following command:\n\n${commandLine(config, image)}\n\n`);
    const { Id } = await docker.containers.create(config, { name: nodeContainer });
    await startOrRemove(docker, Id);
    io.stdout(`Calico node is running with id: ${Id}\n`);
    if (wishes.libnetwork) io.stdout("Calico node running with libnetwork plugin enabled\n");
    io.stdout("Waiting for successful startup\n");
    await untilStarted(context, Id);
  } catch (error) {
    if (error instanceof OperationError) throw dockerFailure(context, error, `${error.message}\n`);
    throw error;
  }
}

async function containerConfig({ host, storePlace }: CalicoctlContext, wishes: NodeWishes, image: string) {
  const { endpoints } = await storePlace();
  const env = {
    HOSTNAME: host.name,
    IP: wishes.ip ?? "",
    IP6: wishes.ip6 ?? "",
    CALICO_NETWORKING_BACKEND: wishes.backend,
    AS: wishes.asNumber === undefined ? "" : String(wishes.asNumber),
    NO_DEFAULT_POOLS: "",
    CALICO_LIBNETWORK_ENABLED: String(wishes.libnetwork),
    ETCD_AUTHORITY: (endpoints[0] ?? "").replace(/^\w+:\/\//, ""),
    ETCD_SCHEME: "http",
    ETCD_ENDPOINTS: endpoints.join(","),
  };
  return {
    Image: image,
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    HostConfig: {
      NetworkMode: "host",
      // A container's network is entered by the process id that Docker tells.
      PidMode: "host",
      Privileged: true,
      RestartPolicy: { Name: "always" },
      Binds: [
        `${wishes.logDir ?? logDirDefault}:/var/log/calico`,
        "/var/run/calico:/var/run/calico",
        "/run/margay:/run/margay",
        // Docker would make the folder.
        ...(existsSync("/lib/modules") ? ["/lib/modules:/lib/modules"] : []),
        ...(wishes.libnetwork ? ["/run/docker/plugins:/run/docker/plugins"] : []),
      ],
    },
  };
}

function commandLine({ Env, HostConfig }: Awaited<ReturnType<typeof containerConfig>>, image: string): string {
  const env = Env.flatMap((one) => ["-e", one]);
  const binds = HostConfig.Binds.flatMap((one) => ["-v", one]);
  const fixed = ["--restart=always", "--net=host", "--pid=host", "--privileged", `--name=${nodeContainer}`];
  return ["docker", "run", "-d", ...fixed, ...env, ...binds, image].join(" ");
}

export async function fetchImage({ io, host }: CalicoctlContext, image: string, pull: boolean): Promise<void> {
  const docker = await host.docker();
  if ((await docker.images.inspect(image)) !== undefined) return;
  if (!pull)
    throw new CommandFailure("stdout", paragraph(`ERROR: There is no image ${image} here, and --no-pull is set.`));
  io.stdout(paragraph(`Pulling Docker image ${image}`));
  try {
    await docker.images.pull(image);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const problem = paragraph("ERROR: Unable to download Docker image.");
    throw new CommandFailure("stdout", problem + paragraph(error.message));
  }
}

/** One that cannot be started would be in the way of the next. */
async function startOrRemove(docker: Docker, id: string): Promise<void> {
  try {
    await docker.containers.start(id);
  } catch (error) {
    await docker.containers.remove(id, { force: true });
    throw error;
  }
}

/** Its log says so, or a node answers. A container that ends before is stopped for good. */
async function untilStarted(context: CalicoctlContext, id: string): Promise<void> {
  const { clock, host } = context;
  const docker = await host.docker();
  let log = "";
  const outcome = await until(clock, startedWithinMs, async () => {
    log = await logOf(docker, id);
    if (context.io.signal.aborted || log.includes(startedLine) || (await nodeState(context)).kind === "ready")
      return "started";
    const { State, RestartCount } = await docker.containers.inspect(id);
    // With its restart policy Docker would start it for ever.
    return State.Running && State.ExitCode === 0 && Number(RestartCount ?? 0) === 0 ? undefined : "ended";
  });
  if (outcome === "started") return;
  await docker.containers.remove(id, { force: true });
  const why = outcome === "ended" ? "has ended" : "did not get ready in time";
  throw new CommandFailure("stdout", `The node's container ${why}; its last words:\n${log.slice(-2_000)}\n`);
}

async function logOf(docker: Docker, id: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const { bytes } of docker.containers.logs(id, { tty: false, tail: 200 })) text += decoder.decode(bytes);
  return text;
}
