/** The commands of today's calicoctl (calicoctl.md 4), each loaded when it is called. */

import type { CommandEntry, CommandTable } from "../command.ts";
import type { Operation } from "./resource-writer.ts";

export const modernCommands: CommandTable = {
  get: modern(async () => {
    const [{ get }, { getHelp }] = await Promise.all([import("./get.ts"), import("./get-usage.ts")]);
    return { run: get, help: getHelp };
  }),
  create: writing("create"),
  apply: writing("apply"),
  replace: writing("replace"),
  delete: writing("delete"),
  patch: modern(async () => {
    const { patch, patchHelp } = await import("./patch.ts");
    return { run: patch, help: patchHelp };
  }),
  label: modern(async () => {
    const { label, labelHelp } = await import("./label.ts");
    return { run: label, help: labelHelp };
  }),
  validate: modern(async () => {
    const { validate, validateHelp } = await import("./validate.ts");
    return { run: validate, help: validateHelp };
  }),
  diff: modern(async () => {
    const { diff, diffHelp } = await import("./diff.ts");
    return { run: diff, help: diffHelp };
  }),
  "ipam show": modern(async () => {
    const { ipamShow, ipamShowHelp } = await import("./ipam-show.ts");
    return { run: ipamShow, help: ipamShowHelp };
  }),
  "ipam check": modern(async () => {
    const { ipamCheck, ipamCheckHelp } = await import("./ipam-check.ts");
    return { run: ipamCheck, help: ipamCheckHelp };
  }),
  "ipam release": modern(async () => {
    const { ipamRelease, ipamReleaseHelp } = await import("./ipam-release.ts");
    return { run: ipamRelease, help: ipamReleaseHelp };
  }),
  "ipam configure": modern(async () => {
    const { ipamConfigure, ipamConfigureHelp } = await import("./ipam-configure.ts");
    return { run: ipamConfigure, help: ipamConfigureHelp };
  }),
  "ipam split": modern(async () => {
    const { ipamSplit, ipamSplitHelp } = await import("./ipam-split.ts");
    return { run: ipamSplit, help: ipamSplitHelp };
  }),
  "datastore migrate lock": locking("lock"),
  "datastore migrate unlock": locking("unlock"),
  "datastore migrate export": modern(async () => {
    const { exportDatastore, exportHelp } = await import("./datastore-export.ts");
    return { run: exportDatastore, help: exportHelp };
  }),
  "datastore migrate import": modern(async () => {
    const { importDatastore, importHelp } = await import("./datastore-export.ts");
    return { run: importDatastore, help: importHelp };
  }),
  "datastore migrate-policy-names": modern(async () => {
    const { migratePolicyNames, migratePolicyNamesHelp } = await import("./migrate-policy-names.ts");
    return { run: migratePolicyNames, help: migratePolicyNamesHelp };
  }),
  version: modern(async () => {
    const { version, versionHelp } = await import("./version.ts");
    return { run: version, help: versionHelp };
  }),
};

function modern(load: CommandEntry["load"]): CommandEntry {
  return { family: "modern", load };
}

function writing(operation: Operation): CommandEntry {
  return modern(async () => {
    const [{ writeCommand }, { writeHelp }] = await Promise.all([import("./write.ts"), import("./write-usage.ts")]);
    return { run: writeCommand(operation), help: writeHelp(operation) };
  });
}

function locking(word: "lock" | "unlock"): CommandEntry {
  return modern(async () => {
    const { lockCommand, lockHelp } = await import("./datastore-lock.ts");
    return { run: lockCommand(word), help: lockHelp(word) };
  });
}
