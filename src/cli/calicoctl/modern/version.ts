/** `calicoctl version [--client] [--poll=TIME]`; the bare number of the classic releases with CALICOCTL_CLASSIC=1. */

import { BadInput, describeError, OperationError } from "../../../base/errors.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { clientVersion } from "./client-version.ts";
import { readWords } from "./words.ts";

const classicVersion = "0.23.1";

export const versionUsage = `Usage:
  calicoctl version [--client] [--poll=TIME]
`;

export const versionHelp = `Says which release's commands and data this calicoctl speaks, and which the cluster's.

${versionUsage}
Options:
      --client      this program only; needs no datastore
      --poll=TIME   again each TIME (5s, 1m), printing what has changed, until stopped

With CALICOCTL_CLASSIC=1 the bare number of the last classic release.

Examples:
  calicoctl version --client
`;

export async function version(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const flags = { client: { type: "boolean", default: false }, poll: { type: "string" } } as const;
  const { values, positionals } = readWords(args, flags, versionUsage);
  if (positionals.length > 0) throw new UsageError(versionUsage);
  const { io, store, clock } = context;
  const everyMs = values.poll === undefined ? undefined : pollTime(values.poll);
  if (everyMs !== undefined) context.handlesInterrupt();
  if (io.env.CALICOCTL_CLASSIC === "1") {
    io.stdout(`${classicVersion}\n`);
    return 0;
  }
  io.stdout(`Client Version:    ${clientVersion}\nGit commit:        margay\n`);
  if (values.client) return 0;
  for (let said = ""; ; ) {
    const text = await clusterText(store, io.stdout);
    if (text === undefined) return 0;
    if (text !== said) io.stdout(text);
    if (everyMs === undefined) return 0;
    said = text;
    const stopped = await clock.sleep(everyMs, io.signal).then(
      () => false,
      () => true,
    );
    if (stopped) return 0;
  }
}

/** Undefined after saying so: the settings lead to no datastore. @throws CommandFailure when it does not answer */
async function clusterText(open: () => Promise<Store>, say: (text: string) => void): Promise<string | undefined> {
  let store: Store;
  try {
    store = await open();
  } catch (error) {
    if (!(error instanceof BadInput || error instanceof OperationError) || !isOfSettings(error)) throw refusal(error);
    say(`Unable to detect installed Calico version: ${describeError(error)}\n`);
    return undefined;
  }
  try {
    const { readCluster } = await import("./cluster-lock.ts");
    const { calicoVersion, clusterType } = (await readCluster(store))?.information.spec ?? {};
    return `Cluster Version:   ${calicoVersion || "unknown"}\nCluster Type:      ${clusterType || "unknown"}\n`;
  } catch (error) {
    throw refusal(error);
  }
}

function isOfSettings(error: BadInput | OperationError): boolean {
  return error instanceof BadInput || error.code !== "STORE_UNAVAILABLE";
}

function refusal(error: unknown): unknown {
  if (!(error instanceof BadInput || error instanceof OperationError)) return error;
  return new CommandFailure("stderr", `unable to retrieve Cluster Version or Type: ${describeError(error)}\n`);
}

/** Go's durations, as far as one waits for them. */
function pollTime(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit ?? ""] ?? Number.NaN);
  if (ms > 0) return ms;
  throw new CommandFailure("stderr", `invalid poll duration specified: ${text}\n`);
}
