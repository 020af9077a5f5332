/** Takes everything of the node's out of this host's kernel: interfaces, routes, rules. Found by marks; nothing else goes. */

import { LinuxHostNetwork } from "../../../kernel/host-network.ts";
import { linkAlias, routeProtocol, tableName } from "../../../node/dataplane/chain-names.ts";
import { removeEverything } from "../../../node/dataplane/remove-everything.ts";

/** Answers the names of the interfaces that were removed. */
export async function clearKernel(): Promise<readonly string[]> {
  using network = LinuxHostNetwork.open({ routeProtocol, table: tableName });
  const names = network.links().flatMap(({ name, alias }) => (alias === linkAlias ? [name] : []));
  await removeEverything(network);
  return names;
}
