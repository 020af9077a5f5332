/** The kernel this process runs on, asked about a packet. Nothing is changed. */
import { allRoutes } from "../../kernel/all-routes.ts";
import { listAddresses } from "../../kernel/interface-addresses.ts";
import { listLinks } from "../../kernel/links.ts";
import { NetlinkSocket, netlinkRoute } from "../../kernel/netlink/socket.ts";
import { listTable } from "../../kernel/nftables/table-listing.ts";
import { tableName } from "../dataplane/chain-names.ts";
import type { KernelAnswer, KernelQuestion } from "./kernel-answer.ts";
import { kernelVerdict } from "./kernel-verdict.ts";

export function askLocalKernel(host: string, question: KernelQuestion): KernelAnswer {
  using socket = NetlinkSocket.open(netlinkRoute);
  const links = listLinks(socket);
  const addresses = listAddresses(socket);
  return kernelVerdict(host, question, { table: listTable(tableName), links, routes: allRoutes(), addresses });
}
