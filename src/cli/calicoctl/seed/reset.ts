/**
 * `calicoctl reset [--force]`: this host as it was before calicoctl (calicoctl.md 1.2). Interfaces, routes and rules are
 * found by Margay's marks: an interface of somebody else's is never removed, whatever its name.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../../store/store.ts";
import { stopService } from "../../services/local-services.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { checkNotStartedElsewhere, nodeContainer } from "../classic/node-state.ts";
import { stopWhatRuns } from "../classic/node-stop.ts";
import { commandOfForms, type Typed } from "../classic/usage-forms.ts";
import type { CalicoctlContext, Command } from "../command.ts";
import { removeContainer } from "../node-container.ts";
import { forgetNodeName } from "../this-host.ts";
import { masterContainer } from "./master.ts";
import { requireRootAsSeed } from "./seed-root.ts";

const resetUsage = `Usage:
  calicoctl reset [--force] [--etcd=<HOST:PORT>]
`;

export const resetHelp = `Stops what calicoctl has started on this host, and takes interfaces, routes and rules out of its kernel.

${resetUsage}
Containers lose their connections. What is in the datastore stays, unless:
  --force   remove everything of Calico's and Margay's from the datastore too, for all hosts, and this host's store

Needs root.

Examples:
  calicoctl reset
  calicoctl reset --force
`;

const nodeStateDir = "/var/lib/margay/node";
const storeDir = "/var/lib/margay/store";
const prefixes = ["/calico/", "/margay/"];
const deletesAtOnce = 100;

export const reset: Command = commandOfForms(resetUsage, [{ words: "", options: ["--force"], run: resetHost }]);

async function resetHost(context: CalicoctlContext, typed: Typed): Promise<number> {
  requireRootAsSeed(context, "it stops the node and changes the kernel of this host");
  await checkNotStartedElsewhere(context);
  const { io, clock } = context;
  const force = typed.has("--force");
  const places = servicePlaces(io.env);
  // The node first: it would write its own back.
  await stopWhatRuns(context);
  await removeContainer(context, nodeContainer);
  if (force) {
    io.stdout("Removing all data from datastore\n");
    await removeData(await context.store());
  }
  const { clearKernel } = await import("../classic/clear-kernel.ts");
  const names = await clearKernel();
  io.stdout(names.length === 0 ? "No interfaces to clean up\n" : `Removing interfaces:\n${names.join("\n")}\n`);
  // The store last: until here it was asked.
  await stopService(places, "store", clock);
  await removeContainer(context, masterContainer);
  forgetNodeName();
  const left = [nodeStateDir, ...(force ? [storeDir] : [])];
  for (const path of [...left, ...["node", "store"].map((name) => join(places.runDir, `${name}.pid`))]) {
    rmSync(path, { recursive: true, force: true });
  }
  return 0;
}

async function removeData(store: Store): Promise<void> {
  for (const prefix of prefixes) {
    const { kvs } = await store.list(prefix);
    for (let at = 0; at < kvs.length; at += deletesAtOnce) {
      const success = kvs.slice(at, at + deletesAtOnce).map(({ key }) => ({ delete: key }));
      await store.transact({ compare: [], success });
    }
  }
}
