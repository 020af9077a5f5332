/**
 * `calicoctl node [options]`: starts the node of this host, as a service of its own or as a container (calicoctl.md 3.8).
 * The store is asked first, so that a node that could not do anything is not started.
 */

import { clusterInformationKey } from "../../../model/keys.ts";
import type { CalicoctlContext } from "../command.ts";
import { type NodeServiceTold, startNodeService } from "../node-service.ts";
import { checkNotStartedElsewhere } from "./node-state.ts";
import { type NodeWishes, readWishes } from "./node-wishes.ts";
import { requireRoot } from "./root.ts";
import type { Typed } from "./usage-forms.ts";

export async function startNode(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const wishes = readWishes(context, typed);
  const detach = typed.option("--detach") !== "false";
  requireRoot(context, "It starts the node of this host.");
  const store = await context.store();
  // Fails when the store is away, with the words for it.
  await store.get(clusterInformationKey);
  if (typed.option("--runtime") === "none") return 0;
  await checkNotStartedElsewhere(context);
  // From here on there is something to stop.
  context.handlesInterrupt();
  await startWished(context, wishes);
  if (!io.signal.aborted) {
    io.stdout("Calico node started successfully\n");
    if (detach) return 0;
  }
  return await stopWhenInterrupted(context);
}

async function stopWhenInterrupted(context: CalicoctlContext): Promise<number> {
  const { io } = context;
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const terminated = String(io.signal.reason).includes("SIGTERM");
  io.stdout(terminated ? "Got SIGTERM\n" : "Stopping Calico node...\n");
  const { stopWhatRuns } = await import("./node-stop.ts");
  await stopWhatRuns(context);
  return terminated ? 0 : 130;
}

async function startWished(context: CalicoctlContext, wishes: NodeWishes): Promise<void> {
  const { io } = context;
  const sayCommand = (what: string, command: string) =>
    io.stdout(`Running ${what} with the following command:\n\n${command}\n\n`);
  const onStarted = (id: string) => {
    io.stdout(`Calico node is running with id: ${id}\n`);
    if (wishes.libnetwork) io.stdout("Calico node running with libnetwork plugin enabled\n");
    io.stdout("Waiting for successful startup\n");
  };
  const { image } = wishes;
  if (image === undefined) {
    const onCommand = (words: readonly string[]) => sayCommand("the node", `margay ${words.join(" ")}`);
    await runNodeService(context, wishes, { onCommand, onStarted });
    return;
  }
  const { startAsContainer } = await import("./node-container.ts");
  const onCommand = (words: readonly string[]) => sayCommand("Docker container", words.join(" "));
  await startAsContainer(context, { ...wishes, image }, { onCommand, onStarted });
}

/** Resolves with its id when the node is ready. @throws CommandFailure when it ends or does not get ready in time */
export async function runNodeService(
  context: CalicoctlContext,
  { ip, ip6, asNumber, logDir }: Pick<NodeWishes, "ip" | "ip6" | "asNumber" | "logDir">,
  told: NodeServiceTold,
): Promise<string> {
  const words = [
    `--name=${context.host.name}`,
    ...(ip === undefined ? [] : [`--ip=${ip}`]),
    ...(ip6 === undefined ? [] : [`--ip6=${ip6}`]),
    ...(await storeWords(context)),
  ];
  const env: Record<string, string> = asNumber === undefined ? {} : { AS: String(asNumber) };
  return await startNodeService(context, { words, logDir, env }, told);
}

/** What this host's settings say the node finds by itself, and more than a list of addresses: users, certificates. */
async function storeWords({ storePlace }: CalicoctlContext): Promise<readonly string[]> {
  const { endpoints, from } = await storePlace();
  return from === "settings" ? [] : [`--store=${endpoints.join(",")}`];
}
