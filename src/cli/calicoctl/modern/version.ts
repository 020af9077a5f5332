/** `calicoctl version [--client]`; the bare number of the classic releases with CALICOCTL_CLASSIC=1. */

import { decodeClusterInformation } from "../../../model/cluster-information.ts";
import { clusterInformationKey } from "../../../model/keys.ts";
import { type CalicoctlContext, UsageError } from "../command.ts";

/** The releases whose command lines and data this calicoctl speaks. */
const classicVersion = "0.23.1";
const clientVersion = "v3.32.1";

export const versionUsage = `Usage:
  calicoctl version [--client]
`;

export async function version({ io, store }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const clientOnly = args.length === 1 && args[0] === "--client";
  if (args.length > 0 && !clientOnly) throw new UsageError(versionUsage);
  if (io.env.CALICOCTL_CLASSIC === "1") {
    io.stdout(`${classicVersion}\n`);
    return 0;
  }
  io.stdout(`Client Version:    ${clientVersion}\nGit commit:        margay\n`);
  if (clientOnly) return 0;
  const kv = await (await store()).get(clusterInformationKey);
  const spec = kv === undefined ? {} : decodeClusterInformation(kv.value).spec;
  io.stdout(
    `Cluster Version:   ${spec.calicoVersion || "unknown"}\nCluster Type:      ${spec.clusterType || "unknown"}\n`,
  );
  return 0;
}
