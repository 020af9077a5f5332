/** The commands of today's calicoctl (calicoctl.md 4), each loaded when it is called. */

import type { CommandTable } from "../command.ts";
import type { Operation } from "./resource-writer.ts";

export const modernCommands: CommandTable = {
  get: {
    family: "modern",
    load: async () => {
      const [{ get }, { getHelp }] = await Promise.all([import("./get.ts"), import("./get-usage.ts")]);
      return { run: get, help: getHelp };
    },
  },
  create: writing("create"),
  apply: writing("apply"),
  replace: writing("replace"),
  delete: writing("delete"),
  patch: {
    family: "modern",
    load: async () => {
      const { patch, patchHelp } = await import("./patch.ts");
      return { run: patch, help: patchHelp };
    },
  },
  label: {
    family: "modern",
    load: async () => {
      const { label, labelHelp } = await import("./label.ts");
      return { run: label, help: labelHelp };
    },
  },
  validate: {
    family: "modern",
    load: async () => {
      const { validate, validateHelp } = await import("./validate.ts");
      return { run: validate, help: validateHelp };
    },
  },
  diff: {
    family: "modern",
    load: async () => {
      const { diff, diffHelp } = await import("./diff.ts");
      return { run: diff, help: diffHelp };
    },
  },
  "ipam show": {
    family: "modern",
    load: async () => {
      const { ipamShow, ipamUsage } = await import("./ipam-show.ts");
      return { run: ipamShow, help: ipamUsage };
    },
  },
  version: {
    family: "modern",
    load: async () => {
      const { version, versionUsage } = await import("./version.ts");
      return { run: version, help: versionUsage };
    },
  },
};

function writing(operation: Operation): CommandTable[string] {
  return {
    family: "modern",
    load: async () => {
      const [{ writeCommand }, { writeHelp }] = await Promise.all([import("./write.ts"), import("./write-usage.ts")]);
      return { run: writeCommand(operation), help: writeHelp(operation) };
    },
  };
}
