/** A node in a container of a given image, in the words of the classic releases (calicoctl.md 3.8). */

import { OperationError } from "../../../base/errors.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { type CalicoctlContext, paragraph } from "../command.ts";
import {
  accessFlags,
  contentWords,
  fetchImage,
  type NodeContainer,
  nodeBinds,
  startNodeContainer,
  storeAccess,
} from "../node-container.ts";
import { dockerFailure } from "./container-lookup.ts";
import { nodeContainer } from "./node-state.ts";
import type { NodeWishes } from "./node-wishes.ts";

const logDirDefault = "/var/log/calico";

export interface ContainerStart extends Pick<NodeWishes, "ip" | "ip6" | "asNumber" | "logDir" | "backend"> {
  readonly image: string;
  readonly pull: boolean;
  readonly libnetwork: boolean;
}

export interface ContainerStartTold {
  readonly onCommand?: (words: readonly string[]) => void;
  readonly onStarted: (id: string) => void;
}

export async function startAsContainer(
  context: CalicoctlContext,
  start: ContainerStart,
  { onCommand, onStarted }: ContainerStartTold,
): Promise<void> {
  const node = await containerOf(context, start);
  try {
    const onPull = () => context.io.stdout(paragraph(`Pulling Docker image ${start.image}`));
    await fetchImage(context, start.image, { pull: start.pull, onPull });
    const life = ["-d", "--restart=always"];
    onCommand?.(["docker", "run", ...life, ...accessFlags, `--name=${nodeContainer}`, ...contentWords(node)]);
    await startNodeContainer(context, node, { onStarted });
  } catch (error) {
    if (error instanceof OperationError) throw dockerFailure(context, error, `${error.message}\n`);
    throw error;
  }
}

async function containerOf({ host, io, storePlace }: CalicoctlContext, start: ContainerStart): Promise<NodeContainer> {
  const { endpoints } = await storePlace();
  const [first = ""] = endpoints;
  const access = storeAccess(io.env);
  return {
    image: start.image,
    stays: true,
    binds: [...nodeBinds(start.logDir ?? logDirDefault, servicePlaces(io.env).runDir), ...access.binds],
    env: {
      HOSTNAME: host.name,
      IP: start.ip ?? "",
      IP6: start.ip6 ?? "",
      // Nobody has named one: what the image does then.
      CALICO_NETWORKING_BACKEND: start.backend ?? "",
      AS: start.asNumber === undefined ? "" : String(start.asNumber),
      NO_DEFAULT_POOLS: "",
      CALICO_LIBNETWORK_ENABLED: String(start.libnetwork),
      ETCD_AUTHORITY: first.replace(/^\w+:\/\//, ""),
      ETCD_SCHEME: first.replace(/:\/\/.*/, ""),
      ETCD_ENDPOINTS: endpoints.join(","),
      // A name that the host was known by before counts more than HOSTNAME.
      NODENAME: host.name,
      ...access.env,
    },
  };
}
