/** The commands of today's calicoctl (calicoctl.md 4), each loaded when it is called. */

import type { CommandTable } from "../command.ts";
import type { Operation } from "./resource-writer.ts";

export const modernCommands: CommandTable = {
  get: {
    family: "modern",
    load: async () => {
      const { get, getUsage } = await import("./get.ts");
      return { run: get, help: getUsage };
    },
  },
  create: writing("create"),
  apply: writing("apply"),
  replace: writing("replace"),
  delete: writing("delete"),
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
