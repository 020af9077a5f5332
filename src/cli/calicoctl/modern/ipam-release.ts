/** `calicoctl ipam release`: one address, or those that reports of `ipam check` agree are leaked (calicoctl.md 4.7). */

import { readFileSync } from "node:fs";
import { describeError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { isIpamError } from "../../../ipam/ipam-error.ts";
import type { AddressRelease } from "../../../ipam/ipam-requests.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { clientVersion } from "./client-version.ts";
import { type ClusterState, readCluster } from "./cluster-lock.ts";
import { type LeakReport, parseReport } from "./ipam-report.ts";
import { parseAddress } from "./ipam-show.ts";
import { Progress } from "./progress.ts";
import { readWords } from "./words.ts";

export const ipamReleaseUsage = `Usage:
  calicoctl ipam release --ip=IP
  calicoctl ipam release --from-report=FILE... [--force]
`;

export const ipamReleaseHelp = `Gives back an address, or all that reports of "calicoctl ipam check -o" call leaked.

${ipamReleaseUsage}
Options:
      --ip=IP             the address; whoever uses it loses it
      --from-report=FILE  a report; of several, what all of them call leaked, so that reports some time apart are safer
      --force             although the datastore is not locked or the report is of another release

An address that was assigned anew after the report is kept.

Examples:
  calicoctl ipam release --ip=192.168.10.65
  calicoctl ipam release --from-report=monday.json --from-report=tuesday.json
`;

/** Addresses given back in one go, between two lines of progress. */
const atOnce = 256;

export async function ipamRelease(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      ip: { type: "string" },
      "from-report": { type: "string", multiple: true, default: [] },
      force: { type: "boolean", default: false },
    },
    ipamReleaseUsage,
  );
  const { ip, "from-report": files, force } = values;
  if (positionals.length > 0 || (ip === undefined) === (files.length === 0)) throw new UsageError(ipamReleaseUsage);
  return ip === undefined ? await releaseLeaked(context, files, force) : await releaseOne(context, ip);
}

async function releaseOne({ io, store, clock }: CalicoctlContext, text: string): Promise<number> {
  const address = parseAddress(text);
  if (!(await new Ipam({ store: await store(), clock }).releaseAddress(address))) {
    throw new CommandFailure("stderr", `IP address ${text} is not assigned\n`);
  }
  io.stdout(`Successfully released IP address ${text}\n`);
  return 0;
}

async function releaseLeaked(context: CalicoctlContext, files: readonly string[], force: boolean): Promise<number> {
  const { io, store, clock } = context;
  const reports = files.map((file) => ({ file, report: reportIn(file) }));
  const opened = await store();
  refuseUnfit(reports, await readCluster(opened), force, io.stdout);
  const ipam = new Ipam({ store: opened, clock });
  const [first, ...others] = reports.map(({ report }) => report);
  const leaked = [...(first?.leaked ?? [])].filter(([what]) => others.every((report) => report.leaked.has(what)));
  const handles = [...(first?.handles ?? [])].filter(([handle]) =>
    others.every((report) => report.handles.has(handle)),
  );
  if (leaked.length === 0) io.stdout("Report didn't contain any leaked IPs to clean up.\n");
  else {
    io.stdout(`Releasing ${leaked.length} old IPs...\n`);
    const progress = new Progress(clock, io.stderr, "released", leaked.length);
    const counts = { released: 0, gone: 0 };
    for (let at = 0; at < leaked.length; at += atOnce) {
      io.signal.throwIfAborted();
      const part = leaked.slice(at, at + atOnce).map(([, release]) => release);
      const released = await releasePart(ipam, part);
      counts.released += released;
      counts.gone += part.length - released;
      for (const _ of part) progress.step();
    }
    io.stdout(`Released ${counts.released} IPs successfully\n`);
    if (counts.gone > 0) {
      io.stdout(`${counts.gone} addresses marked as leaked in the report had already been cleaned up.\n`);
    }
  }
  if (handles.length === 0) io.stdout("Report didn't contain any handles to clean up.\n");
  else await removeHandles(ipam, handles, io.stdout);
  io.stdout("You may now unlock the data store.\n");
  return 0;
}

/** Answers how many. One that has become somebody's keeps its whole block back: then one by one. */
async function releasePart(ipam: Ipam, part: readonly AddressRelease[]): Promise<number> {
  const { released, refused } = await ipam.releaseAddresses(part);
  let count = released.length;
  const again = new Set(refused.map(({ address }) => address));
  for (const { address, ...guard } of part.filter((one) => again.has(one.address))) {
    try {
      if (await ipam.releaseAddress(address, guard)) count++;
    } catch (error) {
      if (!isIpamError(error, "IPAM_OWNER_MISMATCH")) throw error; // assigned anew since the report
    }
  }
  return count;
}

async function removeHandles(
  ipam: Ipam,
  handles: readonly (readonly [handle: string, revision: number])[],
  say: (text: string) => void,
): Promise<void> {
  say(`Deleting ${handles.length} handles...\nKey: '.' = Deleted OK; 'x' = skip, handle missing/changed.\n`);
  let released = 0;
  for (const [handle, revision] of handles) {
    const done = await ipam.recountHandle(handle, revision, []);
    if (done) released++;
    say(done ? "." : "x");
  }
  say(`\nReleased ${released} handles; ${handles.length - released} skipped; 0 errors.\n`);
}

function reportIn(file: string): LeakReport {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandFailure("stderr", `cannot read the report ${file}: ${describeError(error)}\n`);
  }
  return parseReport(text, file);
}

/** @throws CommandFailure for reports of another cluster, release or time, and without a lock */
function refuseUnfit(
  reports: readonly { readonly file: string; readonly report: LeakReport }[],
  cluster: ClusterState | undefined,
  force: boolean,
  say: (text: string) => void,
): void {
  const refuse = (problem: string) => {
    throw new CommandFailure("stderr", `${problem}\n`);
  };
  const unlessForced = (problem: string) => (force ? say(`WARNING: ${problem}\n`) : refuse(problem));
  for (const { file, report } of reports) {
    if (report.clusterGuid !== (cluster?.information.spec.clusterGUID ?? "")) {
      refuse(`cluster does not match the provided report (${file}): mismatched cluster GUID. Refusing to release`);
    }
    if (report.version !== clientVersion) {
      unlessForced(
        `the provided report (${file}) was produced using a different version (${report.version}) of calicoctl. Refusing to release`,
      );
    }
  }
  if (cluster?.locked !== true) {
    unlessForced("data store is not locked. Either lock the data store, or re-run with --force");
  } else if (reports.every(({ report }) => report.revision !== String(cluster.revision))) {
    refuse(
      "the provided reports are all stale - at least one should be up-to-date. Please generate a new report while the data store is locked and try again",
    );
  }
}
