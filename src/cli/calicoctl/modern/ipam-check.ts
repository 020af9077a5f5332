/** `calicoctl ipam check` (calicoctl.md 4.7): whether the address plan and those who use its addresses agree. */

import { writeFileSync } from "node:fs";
import { describeError } from "../../../base/errors.ts";
import type { InspectedAddress, PlanFindings } from "../../../ipam/inspection.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { type CheckedPlan, checkPlan } from "./ipam-plan.ts";
import { reportOf } from "./ipam-report.ts";
import { readWords } from "./words.ts";

export const ipamCheckUsage = `Usage:
  calicoctl ipam check [--show-all-ips] [--show-problem-ips] [-o FILE] [--exit-code]
`;

export const ipamCheckHelp = `Compares the address plan with the endpoints and nodes that use its addresses.

${ipamCheckUsage}
Options:
      --show-all-ips      every allocated address
      --show-problem-ips  those that are not in use, and those in use and not allocated
  -o, --output=FILE       a report in JSON, for "calicoctl ipam release --from-report"
      --exit-code         exit code 1 when there are problems; without it 0 whatever they are
      --kubeconfig=FILE   accepted and ignored: no Kubernetes is needed

An address assigned less than a minute ago may be about to be used: it is counted, and no problem.

Examples:
  calicoctl ipam check --show-problem-ips
  calicoctl datastore migrate lock && calicoctl ipam check -o report.json
`;

const busiestShown = 20;

export async function ipamCheck({ io, store, clock }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      "show-all-ips": { type: "boolean", default: false },
      "show-problem-ips": { type: "boolean", default: false },
      output: { type: "string", short: "o" },
      "exit-code": { type: "boolean", default: false },
      kubeconfig: { type: "string" },
    },
    ipamCheckUsage,
  );
  if (positionals.length > 0) throw new UsageError(ipamCheckUsage);
  io.stdout("Checking IPAM for inconsistencies...\n\n");
  const plan = await checkPlan(await store(), clock.nowMs());
  const show = { all: values["show-all-ips"], problems: values["show-problem-ips"] || values["show-all-ips"] };
  io.stdout(checkText(plan, show));
  if (values.output !== undefined) writeReport(values.output, plan);
  const { findings } = plan;
  if (findings.leaked.length > 0) io.stdout(releaseAdvice(findings.leaked, values.output));
  return values["exit-code"] && problemCount(findings) > 0 ? 1 : 0;
}

function writeReport(file: string, plan: CheckedPlan): void {
  try {
    writeFileSync(file, reportOf(plan), { mode: 0o600 });
  } catch (error) {
    throw new CommandFailure("stderr", `failed to write the report to ${file}: ${describeError(error)}\n`);
  }
}

interface Shown {
  readonly all: boolean;
  readonly problems: boolean;
}

function checkText({ findings, pools, tunnels, endpoints, handles }: CheckedPlan, show: Shown): string {
  const { blocks, addresses } = findings;
  const ofBlock = (cidr: string) => addresses.filter(({ block }) => block === cidr);
  return [
    "Loading all IPAM blocks...",
    `Found ${blocks.length} IPAM blocks.`,
    ...blocks.flatMap(({ cidr, affinity }) => [
      ` IPAM block ${cidr} affinity=${affinity ?? "<none>"}:`,
      ...(show.all ? ofBlock(cidr).map((one) => `  ${addressLine(one)}`) : []),
    ]),
    `IPAM blocks record ${addresses.length} allocations.`,
    "",
    "Loading all IPAM pools...",
    ...pools.map(({ cidr }) => `  ${cidr}`),
    `Found ${pools.length} active IP pools.`,
    "",
    "Loading all nodes.",
    `Found ${tunnels} node tunnel IPs.`,
    "",
    "Loading all service load balancer IPs.",
    "Found 0 service load balancer IPs.",
    "",
    "Loading all workload endpoints.",
    `Found ${endpoints} workload IPs.`,
    `Workloads and nodes are using ${tunnels + endpoints} IPs.`,
    "",
    "Loading all handles",
    `Found ${handles} handles.`,
    "",
    ...busiestNodes(addresses),
    "",
    ...problemText(findings, show),
    `Check complete; found ${problemCount(findings)} problems.`,
    "",
  ].join("\n");
}

function busiestNodes(addresses: readonly InspectedAddress[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { attributes, blockOwner } of addresses) {
    const node = attributes.node ?? blockOwner;
    if (node !== undefined) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  const busiest = [...counts].sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1));
  const median = busiest[Math.floor(busiest.length / 2)]?.[1] ?? 0;
  return [
    `Looking for top (up to ${busiestShown}) nodes by allocations...`,
    ...busiest.slice(0, busiestShown).map(([node, count]) => `  ${node} has ${count} allocations`),
    `Node with most allocations has ${busiest[0]?.[1] ?? 0}; median is ${median}`,
  ];
}

function problemText(findings: PlanFindings, show: Shown): readonly string[] {
  const { leaked, addresses, usedOutsidePools, usedUnallocated, emptyHandles, missingHandles, broken } = findings;
  const listed = (lines: readonly string[]) => (show.problems ? lines.map((line) => `  ${line}`) : []);
  const young = addresses.filter((one) => one.young && !one.inUse).length;
  return [
    "Scanning for IPs that are allocated but not actually in use...",
    ...listed(leaked.map(addressLine)),
    `Found ${leaked.length} IPs that are allocated in IPAM but not actually in use.`,
    ...(young === 0 ? [] : [`Another ${young} were assigned less than a minute ago and may be about to be used.`]),
    "Scanning for IPs that are in use by a workload or node but not allocated in IPAM...",
    ...listed([...usedOutsidePools, ...usedUnallocated]),
    `Found ${usedOutsidePools.length} in-use IPs that are not in active IP pools.`,
    `Found ${usedUnallocated.length} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.`,
    "",
    "Scanning for IPAM handles with no matching IPs...",
    ...listed(emptyHandles.map(({ handle }) => handle)),
    `Found ${emptyHandles.length} handles with no matching IPs.`,
    "Scanning for IPs with missing handle...",
    ...listed(missingHandles),
    `Found ${missingHandles.length} handles mentioned in blocks with no matching handle resource.`,
    "",
    "Validating the structure of blocks...",
    ...broken.map(({ key, problem }) => `  ${key}: ${problem}`),
    `Found ${broken.length} problems of structure.`,
  ];
}

function addressLine({ address, handle, attributes, inUse, user }: InspectedAddress): string {
  const why = user ?? (inUse ? "its handle" : "nobody");
  const owner = Object.entries(attributes).map(([name, value]) => `${name}=${value}`);
  return `${address} allocated; handle=${handle ?? "<none>"}; used by ${why}; ${owner.join(" ")}`.trimEnd();
}

function problemCount(findings: PlanFindings): number {
  const { leaked, usedOutsidePools, usedUnallocated, emptyHandles, missingHandles, broken } = findings;
  return [leaked, usedOutsidePools, usedUnallocated, emptyHandles, missingHandles, broken].reduce(
    (sum, { length }) => sum + length,
    0,
  );
}

/** What to type next. */
function releaseAdvice(leaked: readonly InspectedAddress[], report: string | undefined): string {
  if (report !== undefined) return `\nTo release them: calicoctl ipam release --from-report=${report}\n`;
  const [one] = leaked;
  return leaked.length === 1
    ? `\nTo release it: calicoctl ipam release --ip=${one?.address}\n`
    : "\nTo release them: calicoctl datastore migrate lock; calicoctl ipam check -o report.json; " +
        "calicoctl ipam release --from-report=report.json; calicoctl datastore migrate unlock\n";
}
