/** `margay reset`: the kernel as it was before us. Found by our marks alone, so it also works after a crash. */
import type { HostNetwork } from "../../kernel/host-network.ts";
import { bandwidthAlias, linkAlias } from "./chain-names.ts";
import { removeFilterAccept } from "./filter-accept.ts";

/** Stops at the first failure with an error; may be repeated. ip_forward stays on: others may count on it by now. */
export async function removeEverything(network: HostNetwork): Promise<void> {
  for (const { alias, name } of network.links())
    if (alias === linkAlias || alias === bandwidthAlias) network.deleteLink(name);
  for (const route of network.routes()) network.removeRoute(route);
  await removeFilterAccept(network);
  if (network.readTable() !== undefined) network.commit([{ op: "delete-table" }]);
}
