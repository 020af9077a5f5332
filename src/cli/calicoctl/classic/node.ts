/** `calicoctl node ...` of the classic releases (calicoctl.md 3.8). The modern ones have a second word of their own. */

import type { Command } from "../command.ts";
import { peerForms } from "./bgp-peers.ts";
import { showNodes } from "./node-show.ts";
import { startNode } from "./node-start.ts";
import { removeNode, stopNode } from "./node-stop.ts";
import { commandOfForms } from "./usage-forms.ts";

const nodeUsage = `Usage:
  calicoctl node [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--log-dir=<DIR>] [--node-image=<IMAGE>] [--no-pull]
    [--runtime=(docker|none)] [--detach=(true|false)] [--libnetwork] [--libnetwork-image=<IMAGE>]
    [--backend=(bird|gobgp|none)] [--etcd=<HOST:PORT>]
  calicoctl node stop [--force]
  calicoctl node remove [--hostname=<HOSTNAME>] [--remove-endpoints]
  calicoctl node show
  calicoctl node bgp peer add <PEER_IP> as <AS_NUM>
  calicoctl node bgp peer remove <PEER_IP>
  calicoctl node bgp peer show [--ipv4 | --ipv6]
`;

export const nodeHelp = `Starts and stops the node of this host: addresses, routes and policy of its containers, and Docker's network driver.

${nodeUsage}
"node" starts margay node as a service of this host that is started again when it dies; its log is in /var/log/margay.
With --node-image it starts a container of that image instead. Either goes on when calicoctl ends, and replaces one
that runs already. Without --ip the address is found.

Options:
  --ip, --ip6             this host's addresses, as other hosts reach it
  --as=<AS_NUM>           its AS number, if not the default one
  --node-image=<IMAGE>    run the node in a container of this image
  --no-pull               do not fetch the image
  --runtime=none          check only whether a node can be started here
  --detach=false          stay until Ctrl-C, then stop the node
  --force                 stop although containers of this host have endpoints: they go on, without changes of policy
  --hostname=<HOSTNAME>   remove the configuration of another host, which must be down
  --remove-endpoints      remove it with its endpoints and their addresses

All but "show" and "bgp" change the host and need root; "remove" of another host does not.

Examples:
  calicoctl node --ip=172.17.8.100
  calicoctl node show
  calicoctl node stop
  calicoctl node remove --hostname=node7 --remove-endpoints
`;

export const node: Command = commandOfForms(nodeUsage, [
  {
    words: "",
    options: [
      "--ip=",
      "--ip6=",
      "--node-image=",
      "--runtime=",
      "--as=",
      "--log-dir=",
      "--detach=",
      "--no-pull",
      "--libnetwork",
      "--libnetwork-image=",
      "--backend=",
    ],
    run: startNode,
  },
  { words: "stop", options: ["--force"], run: stopNode },
  { words: "remove", options: ["--hostname=", "--remove-endpoints"], run: removeNode },
  { words: "show", run: showNodes },
  ...peerForms("bgp peer", ({ host }) => host.name),
]);
