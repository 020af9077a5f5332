/**
 * `calicoctl container ...` (calicoctl.md 3.4): containers of this host that run already get an interface, addresses and
 * profiles. The node of the host does the work (src/plugins/workloads); here are the words.
 */

import type { CalicoctlContext, Command } from "../command.ts";
import { lookUpContainer } from "./container-lookup.ts";
import { addContainer, addIp, removeContainer, removeIp } from "./container-network.ts";
import { endpointsOfContainer } from "./endpoint-access.ts";
import { changeProfiles, checkProfiles, noEndpoint, type ProfilesChange, profileNames } from "./endpoint-profiles.ts";
import { detailedTable } from "./endpoint-table.ts";
import { commandOfForms, type Form, type Typed } from "./usage-forms.ts";

const containerUsage = `Usage:
  calicoctl container add <CONTAINER> <IP> [--interface=<INTERFACE>]
  calicoctl container remove <CONTAINER>
  calicoctl container <CONTAINER> ip (add|remove) <IP> [--interface=<INTERFACE>]
  calicoctl container <CONTAINER> endpoint show
  calicoctl container <CONTAINER> profile (append|remove|set) [<PROFILES>...]
`;

export const containerHelp = `Gives containers of this host that run already an interface with an address, and profiles.

${containerUsage}
CONTAINER is a name or id of Docker's, or the file of a network namespace such as /run/netns/blue. IP is an address, a
pool such as 192.168.0.0/16, or "ipv4" or "ipv6" for any free address. The container is best started with --net=none:
its way out then is the new interface. Without a profile nobody talks to it.

Options:
  --interface=<INTERFACE>   its name in the container [default: eth1]

A container that was stopped keeps its address; it has to be removed and added again when it has started.
"add", "remove" and "ip" change the host: they need root and a node that runs here.

Examples:
  docker run --net=none --name=web -d nginx
  calicoctl container add web 192.168.0.1
  calicoctl profile add WEB
  calicoctl container web profile append WEB
  calicoctl container web ip add 192.168.0.2
  calicoctl container remove web
`;

const onInterface = ["--interface="];

export const container: Command = commandOfForms(containerUsage, [
  { words: "add CONTAINER IP", options: onInterface, run: addContainer },
  { words: "remove CONTAINER", run: removeContainer },
  { words: "CONTAINER ip add IP", options: onInterface, run: addIp },
  { words: "CONTAINER ip remove IP", options: onInterface, run: removeIp },
  { words: "CONTAINER endpoint show", run: showEndpoints },
  { words: "CONTAINER endpoint-id show", run: showEndpointIds },
  profilesForm("append"),
  profilesForm("remove"),
  profilesForm("set"),
]);

function profilesForm(change: ProfilesChange): Form {
  return {
    words: `CONTAINER profile ${change} PROFILES*`,
    run: async (context, typed) => {
      const store = await context.store();
      await checkProfiles(store, typed.all("PROFILES"));
      const [endpoint] = await endpoints(context, typed);
      if (endpoint === undefined) throw noEndpoint(change, typed.word("CONTAINER"));
      return await changeProfiles(context, store, endpoint, change, typed.all("PROFILES"));
    },
  };
}

async function showEndpoints(context: CalicoctlContext, typed: Typed): Promise<number> {
  const found = await endpoints(context, typed);
  context.io.stdout(detailedTable(found, await profileNames(await context.store())));
  return 0;
}

async function showEndpointIds(context: CalicoctlContext, typed: Typed): Promise<number> {
  for (const { id } of await endpoints(context, typed)) context.io.stdout(`${id}\n`);
  return 0;
}

async function endpoints(context: CalicoctlContext, typed: Typed) {
  const found = await lookUpContainer(context, typed.word("CONTAINER"));
  return await endpointsOfContainer(await context.store(), context.host.name, found);
}
