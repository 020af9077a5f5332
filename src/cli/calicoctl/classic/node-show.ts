/** `calicoctl node show`: the hosts of the cluster, their addresses, AS numbers and own peers. */

import { ipFamily } from "../../../base/addresses.ts";
import { decodeNode } from "../../../model/node.ts";
import type { CalicoctlContext } from "../command.ts";
import { listPeers } from "./bgp-peers.ts";
import { defaultAsNumber } from "./classic-store.ts";
import { prettyTable } from "./pretty-table.ts";
import { listResources } from "./stored-resource.ts";

export async function showNodes({ io, store }: CalicoctlContext): Promise<number> {
  const opened = await store();
  const inherited = await defaultAsNumber(opened);
  const peers = await listPeers(opened);
  const rows = (await listResources(opened, "Node", decodeNode)).map(({ resource: node }) => {
    const { metadata, spec } = node;
    const own = (family: 4 | 6) =>
      peers
        .filter(({ host, address }) => host === metadata.name && ipFamily(address) === family)
        .map(({ address, asNumber }) => `${address} as ${asNumber}`)
        .join("\n");
    const asNumber = spec.bgp?.asNumber === undefined ? `${inherited} (inherited)` : String(spec.bgp.asNumber);
    const addresses = [spec.bgp?.ipv4Address, spec.bgp?.ipv6Address].map(withoutPrefix);
    return [metadata.name, ...addresses, asNumber, own(4), own(6)];
  });
  const header = ["Hostname", "Bird IPv4", "Bird IPv6", "AS Num", "BGP Peers v4", "BGP Peers v6"];
  io.stdout(
    `${prettyTable(
      header,
      rows.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
    )}\n`,
  );
  return 0;
}

export function withoutPrefix(address = ""): string {
  return address.split("/")[0] ?? "";
}
