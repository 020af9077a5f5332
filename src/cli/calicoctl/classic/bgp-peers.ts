/** BGP peers by their address: those of every host and those of one (calicoctl.md 3.7). */

import { type IpAddress, ipFamily, tryParseIpAddress } from "../../../base/addresses.ts";
import { BgpPeer } from "../../../model/bgp-resources.ts";
import { resourceKey } from "../../../model/keys.ts";
import { parseAsNumber } from "../../../model/node.ts";
import { apiVersion, decode, newMetadata } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure } from "../command.ts";
import { storeToWrite } from "./classic-store.ts";
import { checkAddress } from "./ipam.ts";
import { prettyTable } from "./pretty-table.ts";
import { changeResource, listResources } from "./stored-resource.ts";
import type { Form, Typed } from "./usage-forms.ts";

export interface ClassicPeer {
  readonly key: string;
  readonly address: IpAddress;
  readonly asNumber: string;
  /** undefined: of every host. */
  readonly host: string | undefined;
}

/** The forms after "bgp" or "node bgp"; `host` is undefined for peers of every host. */
export function peerForms(
  words: "peer" | "bgp peer",
  hostOf: (context: CalicoctlContext) => string | undefined,
): readonly Form[] {
  return [
    { words: `${words} add PEER_IP as AS_NUM`, run: (context, typed) => addPeer(context, hostOf(context), typed) },
    { words: `${words} remove PEER_IP`, run: (context, typed) => removePeer(context, hostOf(context), typed) },
    {
      words: `${words} show`,
      options: ["--ipv4"],
      run: (context, typed) => showPeers(context, hostOf(context), typed.has("--ipv4") ? [4] : [4, 6]),
    },
    { words: `${words} show`, options: ["--ipv6"], run: (context) => showPeers(context, hostOf(context), [6]) },
  ];
}

/** @throws CommandFailure */
export function checkAsNumber(text: string): number {
  const asNumber = parseAsNumber(text);
  if (asNumber === undefined) throw new CommandFailure("stdout", "Invalid AS Number specified.\n");
  return asNumber;
}

/** Peers that classic commands have a word for: with an address, of every host or of one. */
export async function listPeers(store: Store): Promise<readonly ClassicPeer[]> {
  const peers = (await listResources(store, "BGPPeer", decodePeer)).flatMap(({ kv, resource: { spec } }) => {
    const address = tryParseIpAddress(spec.peerIP ?? "");
    if (address === undefined || spec.nodeSelector) return [];
    return [{ key: kv.key, address, asNumber: String(spec.asNumber ?? ""), host: spec.node || undefined }];
  });
  return peers.toSorted((a, b) => (a.address < b.address ? -1 : 1));
}

function decodePeer(text: string, key: string): BgpPeer {
  return decode(BgpPeer, text, key);
}

async function addPeer(context: CalicoctlContext, host: string | undefined, typed: Typed): Promise<number> {
  const address = checkAddress(typed.word("PEER_IP"));
  const asNumber = checkAsNumber(typed.word("AS_NUM"));
  const store = await storeToWrite(context);
  const before = (await listPeers(store)).find((peer) => peer.address === address && peer.host === host);
  const name = peerName(address, host);
  const at = {
    key: before?.key ?? resourceKey({ kind: "BGPPeer", name }),
    decode: decodePeer,
  };
  await changeResource<BgpPeer>(store, at, (stored) => {
    const { clock } = context;
    const metadata = stored?.metadata ?? newMetadata(name, { uid: clock.uuid(), nowMs: clock.nowMs() });
    const spec = { ...stored?.spec, ...(host === undefined ? {} : { node: host }), peerIP: address, asNumber };
    return { ...stored, kind: "BGPPeer", apiVersion, metadata, spec };
  });
  return 0;
}

async function removePeer({ io, store }: CalicoctlContext, host: string | undefined, typed: Typed): Promise<number> {
  const address = checkAddress(typed.word("PEER_IP"));
  const opened = await store();
  const found = (await listPeers(opened)).find((peer) => peer.address === address && peer.host === host);
  if (found === undefined) {
    const problem = host === undefined ? "a globally configured peer" : "a configured peer for this node";
    throw new CommandFailure("stdout", `${address} is not ${problem}.\n`);
  }
  await opened.delete(found.key);
  io.stdout(`BGP peer removed from ${host === undefined ? "global" : "node"} configuration\n`);
  return 0;
}

async function showPeers(
  { io, store }: CalicoctlContext,
  host: string | undefined,
  families: readonly (4 | 6)[],
): Promise<number> {
  const peers = (await listPeers(await store())).filter((peer) => peer.host === host);
  for (const family of families) {
    const rows = peers
      .filter(({ address }) => ipFamily(address) === family)
      .map(({ address, asNumber }) => [address, asNumber]);
    const title = `${host === undefined ? "Global" : "Node specific"} IPv${family} BGP Peer`;
    const none =
      host === undefined
        ? `No global IPv${family} BGP Peers defined.\n\n`
        : `No IPv${family} BGP Peers defined for this node.\n\n`;
    io.stdout(rows.length === 0 ? none : `${prettyTable([title, "AS Num"], rows, { align: "left" })}\n`);
  }
  return 0;
}

/** As Calico's converter names them; a name neither begins nor ends with a dash. */
function peerName(address: IpAddress, host: string | undefined): string {
  const dashed = address.replaceAll(/[.:]/g, "-").replace(/^-/, "0-").replace(/-$/, "-0");
  return host === undefined ? dashed : `${host}.${dashed}`;
}
