/** `calicoctl bgp peer|node-mesh|default-node-as` (calicoctl.md 3.7). */

import type { BgpConfiguration } from "../../../model/bgp-resources.ts";
import { apiVersion, newMetadata } from "../../../model/resource.ts";
import type { CalicoctlContext, Command } from "../command.ts";
import { checkAsNumber, peerForms } from "./bgp-peers.ts";
import { bgpDefaults, defaultAsNumber, storeToWrite } from "./classic-store.ts";
import { changeResource, readResource } from "./stored-resource.ts";
import { commandOfForms, type Typed } from "./usage-forms.ts";

const bgpUsage = `Usage:
  calicoctl bgp peer add <PEER_IP> as <AS_NUM>
  calicoctl bgp peer remove <PEER_IP>
  calicoctl bgp peer show [--ipv4 | --ipv6]
  calicoctl bgp node-mesh [(on|off)]
  calicoctl bgp default-node-as [<AS_NUM>]
`;

export const bgpHelp = `Shows and changes the routers that every host exchanges routes with, and what hosts do among themselves.

${bgpUsage}
AS_NUM is 0 to 4294967295, or two numbers up to 65535 with a dot. Without a value node-mesh and default-node-as tell
what is set. Peers of one host: calicoctl node bgp peer --help

Examples:
  calicoctl bgp peer add 10.0.0.254 as 65001
  calicoctl bgp node-mesh off
  calicoctl bgp default-node-as 64512
`;

export const bgp: Command = commandOfForms(bgpUsage, [
  ...peerForms("peer", () => undefined),
  {
    words: "node-mesh",
    run: async ({ io, store }) => {
      const stored = await readResource(await store(), bgpDefaults);
      io.stdout(stored?.spec.nodeToNodeMeshEnabled === false ? "off\n" : "on\n");
      return 0;
    },
  },
  { words: "node-mesh on", run: (context) => change(context, { nodeToNodeMeshEnabled: true }) },
  { words: "node-mesh off", run: (context) => change(context, { nodeToNodeMeshEnabled: false }) },
  {
    words: "default-node-as",
    run: async ({ io, store }) => {
      io.stdout(`${await defaultAsNumber(await store())}\n`);
      return 0;
    },
  },
  {
    words: "default-node-as AS_NUM",
    run: (context, typed: Typed) => change(context, { asNumber: checkAsNumber(typed.word("AS_NUM")) }),
  },
]);

async function change(context: CalicoctlContext, spec: BgpConfiguration["spec"]): Promise<number> {
  const { clock } = context;
  await changeResource<BgpConfiguration>(await storeToWrite(context), bgpDefaults, (stored) => {
    const metadata = stored?.metadata ?? newMetadata("default", { uid: clock.uuid(), nowMs: clock.nowMs() });
    return { ...stored, kind: "BGPConfiguration", apiVersion, metadata, spec: { ...stored?.spec, ...spec } };
  });
  return 0;
}
