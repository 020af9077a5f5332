/** The commands of today's calicoctl (calicoctl.md 4), each loaded when it is called. */

import type { CommandEntry, CommandTable } from "../command.ts";
import type { Operation } from "./resource-writer.ts";

export const modernCommands: CommandTable = {
  get: comparing(async () => {
    const [{ get }, { getHelp }] = await Promise.all([import("./get.ts"), import("./get-usage.ts")]);
    return { run: get, help: getHelp };
  }),
  create: writing("create"),
  apply: writing("apply"),
  replace: writing("replace"),
  delete: writing("delete"),
  patch: comparing(async () => {
    const { patch, patchHelp } = await import("./patch.ts");
    return { run: patch, help: patchHelp };
  }),
  label: comparing(async () => {
    const { label, labelHelp } = await import("./label.ts");
    return { run: label, help: labelHelp };
  }),
  validate: modern(async () => {
    const { validate, validateHelp } = await import("./validate.ts");
    return { run: validate, help: validateHelp };
  }),
  convert: modern(async () => {
    const { convert, convertHelp } = await import("./convert.ts");
    return { run: convert, help: convertHelp };
  }),
  diff: comparing(async () => {
    const { diff, diffHelp } = await import("./diff.ts");
    return { run: diff, help: diffHelp };
  }),
  ipam: group("ipam"),
  "ipam show": comparing(async () => {
    const { ipamShow, ipamShowHelp } = await import("./ipam-show.ts");
    return { run: ipamShow, help: ipamShowHelp };
  }),
  "ipam check": comparing(async () => {
    const { ipamCheck, ipamCheckHelp } = await import("./ipam-check.ts");
    return { run: ipamCheck, help: ipamCheckHelp };
  }),
  "ipam release": comparing(async () => {
    const { ipamRelease, ipamReleaseHelp } = await import("./ipam-release.ts");
    return { run: ipamRelease, help: ipamReleaseHelp };
  }),
  "ipam configure": comparing(async () => {
    const { ipamConfigure, ipamConfigureHelp } = await import("./ipam-configure.ts");
    return { run: ipamConfigure, help: ipamConfigureHelp };
  }),
  "ipam split": comparing(async () => {
    const { ipamSplit, ipamSplitHelp } = await import("./ipam-split.ts");
    return { run: ipamSplit, help: ipamSplitHelp };
  }),
  datastore: group("datastore"),
  "datastore migrate": group("datastore migrate"),
  "datastore migrate lock": locking("lock"),
  "datastore migrate unlock": locking("unlock"),
  "datastore migrate export": comparing(async () => {
    const { exportDatastore, exportHelp } = await import("./datastore-export.ts");
    return { run: exportDatastore, help: exportHelp };
  }),
  "datastore migrate import": modern(async () => {
    const { importDatastore, importHelp } = await import("./datastore-export.ts");
    return { run: importDatastore, help: importHelp };
  }),
  "datastore migrate-policy-names": comparing(async () => {
    const { migratePolicyNames, migratePolicyNamesHelp } = await import("./migrate-policy-names.ts");
    return { run: migratePolicyNames, help: migratePolicyNamesHelp };
  }),
  "node run": modern(async () => {
    const { nodeRun, nodeRunHelp } = await import("./node-run.ts");
    return { run: nodeRun, help: nodeRunHelp };
  }),
  "node diags": modern(async () => {
    const { nodeDiags, nodeDiagsHelp } = await import("./node-diags.ts");
    return { run: nodeDiags, help: nodeDiagsHelp };
  }),
  cluster: group("cluster"),
  "cluster diags": modern(async () => {
    const { clusterDiags, clusterDiagsHelp } = await import("./cluster-diags.ts");
    return { run: clusterDiags, help: clusterDiagsHelp };
  }),
  "node status": modern(async () => {
    const { nodeStatus, nodeStatusHelp } = await import("./node-status.ts");
    return { run: nodeStatus, help: nodeStatusHelp };
  }),
  "node checksystem": modern(async () => {
    const { checkSystem, checkSystemHelp } = await import("./node-checksystem.ts");
    return { run: checkSystem, help: checkSystemHelp };
  }),
  completion: modern(async () => {
    const { completion, completionHelp } = await import("./completion.ts");
    return { run: completion, help: completionHelp };
  }),
  version: modern(async () => {
    const { version, versionHelp } = await import("./version.ts");
    return { run: version, help: versionHelp };
  }),
};

function modern(load: CommandEntry["load"]): CommandEntry {
  return { family: "modern", load };
}

/** Only stands before other words. */
function group(name: string): CommandEntry {
  return modern(async () => {
    const { groupCommand, groupHelp } = await import("./command-group.ts");
    return { run: groupCommand(name), help: groupHelp(name, modernCommands) };
  });
}

/** Warns when the cluster is of another release. */
function comparing(load: CommandEntry["load"]): CommandEntry {
  return { family: "modern", comparesVersions: true, load };
}

function writing(operation: Operation): CommandEntry {
  return comparing(async () => {
    const [{ writeCommand }, { writeHelp }] = await Promise.all([import("./write.ts"), import("./write-usage.ts")]);
    return { run: writeCommand(operation), help: writeHelp(operation) };
  });
}

function locking(word: "lock" | "unlock"): CommandEntry {
  return comparing(async () => {
    const { lockCommand, lockHelp } = await import("./datastore-lock.ts");
    return { run: lockCommand(word), help: lockHelp(word) };
  });
}
