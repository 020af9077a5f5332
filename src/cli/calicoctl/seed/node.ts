/** `calicoctl node --ip=IP --etcd=HOST:PORT`, as the first release had it (calicoctl.md 1.2). */

import { runNodeService } from "../classic/node-start.ts";
import { checkNotStartedElsewhere } from "../classic/node-state.ts";
import { commandOfForms, type Typed } from "../classic/usage-forms.ts";
import { type CalicoctlContext, type Command, CommandFailure } from "../command.ts";
import { addressOption, masterKey } from "./master.ts";
import { requireRootAsSeed } from "./seed-root.ts";

const seedNodeUsage = `Usage:
  calicoctl node --ip=<IP> [--etcd=<HOST:PORT>] [--node-image=<IMAGE>]
`;

export const seedNodeHelp = `In the first release's words: starts the node of this host, against the store at --etcd.

${seedNodeUsage}
"calicoctl master" must have been called for the cluster. The node is a service of this host that is started again
when it dies; with --node-image it is a container named calico-node. Needs root.

Examples:
  calicoctl node --ip=10.0.0.11 --etcd=10.0.0.10:2379
`;

export const seedNode: Command = commandOfForms(seedNodeUsage, [
  { words: "", options: ["--ip=", "--node-image="], run: startSeedNode },
]);

async function startSeedNode(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const ip = addressOption(typed, seedNodeUsage);
  requireRootAsSeed(context, "it starts the node of this host");
  const master = await (await context.store()).get(masterKey);
  if (master === undefined) throw new CommandFailure("stdout", "No master can be found. Exiting\n");
  io.stdout(`Using master on IP: ${master.value}\n`);
  await checkNotStartedElsewhere(context);
  const image = typed.option("--node-image");
  const wishes = { ip, ip6: undefined, asNumber: undefined, logDir: undefined, backend: undefined };
  const sayId = (id: string) => io.stdout(`Calico node is running with id: ${id}\n\n`);
  if (image === undefined) {
    sayId(await runNodeService(context, wishes, {}));
    return 0;
  }
  const { startAsContainer } = await import("../classic/node-container.ts");
  await startAsContainer(context, { ...wishes, image, pull: true, libnetwork: true }, { onStarted: sayId });
  return 0;
}
