/** `calicoctl profile show [--detailed]` */

import type { CalicoctlContext } from "../command.ts";
import { prettyTable } from "./pretty-table.ts";
import { listProfileNames, membersOf } from "./profile-access.ts";

export async function profileShow({ io, store }: CalicoctlContext, detailed: boolean): Promise<number> {
  const opened = await store();
  const profiles = await listProfileNames(opened);
  if (!detailed) {
    const rows = profiles.map(({ name }) => [name]);
    io.stdout(prettyTable(["Name"], rows));
    return 0;
  }
  const rows: (readonly (string | undefined)[])[] = [];
  for (const { name, stored } of profiles) {
    const members = await membersOf(opened, stored);
    if (members.length === 0) rows.push([name, ...new Array<undefined>(5).fill(undefined)]);
    for (const { spec } of members) {
      const workload = spec.containerID ?? spec.pod ?? spec.workload;
      rows.push([name, spec.node, spec.orchestrator, workload, spec.endpoint, "active"]);
    }
  }
  io.stdout(prettyTable(["Name", "Host", "Orchestrator ID", "Workload ID", "Endpoint ID", "State"], rows));
  return 0;
}
