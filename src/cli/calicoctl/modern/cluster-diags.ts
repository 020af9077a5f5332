/**
 * `calicoctl cluster diags` (calicoctl.md 5.3): the cluster as its datastore tells it, one directory per host, and of this
 * host everything, as one archive in the working directory.
 */

import { hostname } from "node:os";
import { parseGoDuration } from "../../../base/go-duration.ts";
import { ipamPrefix, kindPrefix, parseAffinityKey } from "../../../model/keys.ts";
import { kinds } from "../../../model/kinds.ts";
import type { AnyResource } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { Diagnostics, fileStamp } from "../diagnostics.ts";
import { clientVersion } from "./client-version.ts";
import { documentYaml } from "./document-yaml.ts";
import { ipamCheck } from "./ipam-check.ts";
import { collectHost } from "./node-diags.ts";
import { shownResource } from "./resource-reader.ts";
import { readWords } from "./words.ts";

export const clusterDiagsUsage = `Usage:
  calicoctl cluster diags [--focus-nodes=HOST,...] [--since=TIME] [--max-logs=N] [--max-parallelism=N]
                          [--skip-temp-dir-cleanup] [--output=FILE]
`;

export const clusterDiagsHelp = `Collects the cluster's resources, its address plan with a check of it, and a directory per host, without secrets.
As root also everything of this host, as "calicoctl node diags" does.

${clusterDiagsUsage}
Options:
      --focus-nodes=HOST,...   directories of these hosts only
      --since=TIME             journals and logs of this host no older than that (10s, 5m, 1h; default: all)
      --max-logs=N             0: no logs of this host (default 5)
      --output=FILE            the archive (default ./calico-diagnostics-TIME.tar.gz)
      --max-parallelism=N, --skip-temp-dir-cleanup   accepted; nothing is started and no directory left

Examples:
  calicoctl cluster diags
  calicoctl cluster diags --focus-nodes=host1,host2
`;

const failure = (problem: string) => new CommandFailure("stdout", `Error executing command: ${problem}\n`);

export async function clusterDiags(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io, clock, store } = context;
  const { values, positionals } = readWords(
    args,
    {
      "focus-nodes": { type: "string", default: "" },
      since: { type: "string" },
      "max-logs": { type: "string", default: "5" },
      "max-parallelism": { type: "string", default: "10" },
      "skip-temp-dir-cleanup": { type: "boolean", default: false },
      output: { type: "string" },
    },
    clusterDiagsUsage,
  );
  if (positionals.length > 0) throw new UsageError(clusterDiagsUsage);
  const { since, "max-logs": maxLogs, "max-parallelism": parallelism } = values;
  const sinceAgoMs = parseGoDuration(since);
  if (since !== undefined && (sinceAgoMs === undefined || sinceAgoMs < 0)) {
    throw failure(`invalid duration for since flag (try 10s, 5m, or 1h): ${since}`);
  }
  if (/^-/.test(maxLogs)) throw failure("negative value for max-logs flag");
  for (const [flag, text] of [
    ["max-logs", maxLogs],
    ["max-parallelism", parallelism],
  ] as const) {
    if (!/^\d{1,6}$/.test(text)) throw failure(`invalid number for ${flag} flag: ${text}`);
  }
  const focus = new Set(values["focus-nodes"].split(",").filter((name) => name !== ""));
  const opened = await store();
  io.stdout("==== Begin collecting diagnostics. ====\n");
  const stamp = fileStamp(clock.nowMs());
  const folder = `calico-diagnostics-${stamp}`;
  const diagnostics = new Diagnostics({ say: io.stdout, clock, signal: io.signal, folder });
  diagnostics.add("cluster/version", `Client Version:    ${clientVersion}\nGit commit:        margay\n`);
  const resources = await collectResources(opened, diagnostics);
  await collectPlan(context, opened, diagnostics);
  await collectHosts(opened, diagnostics, resources, focus);
  const here = hostname();
  const root = process.geteuid?.() === 0;
  if (root && (focus.size === 0 || focus.has(here))) {
    await collectHost(context, diagnostics, {
      logDir: maxLogs === "0" ? undefined : "/var/log/calico",
      runDir: "/run/margay",
      prefix: `nodes/${here}/`,
      // As in the original 0 is no limit.
      ...(sinceAgoMs ? { sinceMs: clock.nowMs() - sinceAgoMs } : {}),
    });
  }
  if (!root) io.stdout("Not run as root: nothing of this host's kernel and logs\n");
  const file = diagnostics.save(values.output ?? `./${folder}.tar.gz`, "");
  io.stdout(`\nDiagnostic bundle produced at ${file}\n`);
  return 0;
}

async function collectResources(store: Store, diagnostics: Diagnostics): Promise<readonly AnyResource[]> {
  const all: AnyResource[] = [];
  for (const kind of kinds) {
    await diagnostics.item(`Collecting ${kind}s`, `cluster/${kind.toLowerCase()}.yaml`, async () => {
      const { kvs } = await store.list(kindPrefix(kind));
      const shown = kvs.flatMap((kv) => shownResource(kv, kind) ?? []);
      all.push(...shown);
      const unreadable = kvs.filter((kv) => shownResource(kv, kind) === undefined);
      const notes = unreadable.map(({ key }) => `# cannot be read: ${key}\n`).join("");
      return `${notes}${shown.map(documentYaml).join("---\n")}`;
    });
  }
  return all;
}

async function collectPlan(context: CalicoctlContext, store: Store, diagnostics: Diagnostics): Promise<void> {
  await diagnostics.item("Collecting the address plan", "cluster/ipam", async () => {
    const { kvs } = await store.list(ipamPrefix);
    return kvs.map(({ key, value }) => `${key} ${value}\n`).join("");
  });
  await diagnostics.item("Checking the address plan", "cluster/ipam_check", async () => {
    const said: string[] = [];
    const io = { ...context.io, stdout: (part: string) => void said.push(part) };
    await ipamCheck({ ...context, io }, ["--show-problem-ips"]);
    return said.join("");
  });
}

/** What the datastore knows of each host: itself, its endpoints, its blocks, and what it said last of how it is. */
async function collectHosts(
  store: Store,
  diagnostics: Diagnostics,
  resources: readonly AnyResource[],
  focus: ReadonlySet<string>,
): Promise<void> {
  const affinities = (await store.list(`${ipamPrefix}host/`)).kvs.flatMap(({ key }) => parseAffinityKey(key) ?? []);
  for (const { metadata } of resources.filter(({ kind }) => kind === "Node")) {
    const { name } = metadata;
    if (focus.size > 0 && !focus.has(name)) continue;
    await diagnostics.item(`Collecting what is known of host ${name}`, `nodes/${name}/datastore.yaml`, async () => {
      const own = resources.filter(
        ({ kind, metadata: { name: other }, spec }) =>
          (kind === "Node" && other === name) || spec?.node === name || other === `node.${name}`,
      );
      const status = (await store.list("/calico/felix/")).kvs.filter(({ key }) => key.includes(`/host/${name}/`));
      return [
        own.map(documentYaml).join("---\n"),
        "---\n",
        ...affinities.filter(({ host }) => host === name).map(({ cidr }) => `# block ${cidr}\n`),
        ...status.map(({ key, value }) => `# ${key} ${value}\n`),
      ].join("");
    });
  }
}
