/** The commands of the first release (calicoctl.md 1), each loaded when it is called. */

import type { CommandEntry, CommandTable } from "../command.ts";

export const seedCommands: CommandTable = {
  master: entry(async () => {
    const { master, masterHelp } = await import("./master.ts");
    return { run: master, help: masterHelp };
  }),
  node: {
    ...entry(async () => {
      const { seedNode, seedNodeHelp } = await import("./node.ts");
      return { run: seedNode, help: seedNodeHelp };
    }),
    // Later releases say in the environment where the store is, and have more options.
    takes: (args, { etcd }) =>
      etcd && args.every((word) => !/^[a-z]/.test(word) && !/^--(?!(ip|node-image)(=|$))/.test(word)),
  },
  status: {
    ...entry(async () => {
      const { seedStatus, seedStatusHelp } = await import("./status.ts");
      return { run: seedStatus, help: seedStatusHelp };
    }),
    takes: (_args, { etcd }) => etcd,
  },
  reset: entry(async () => {
    const { reset, resetHelp } = await import("./reset.ts");
    return { run: reset, help: resetHelp };
  }),
  addgroup: group("addGroup"),
  addtogroup: group("addToGroup"),
  showgroups: group("showGroups"),
  removegroup: group("removeGroup"),
};

function group(command: "addGroup" | "addToGroup" | "showGroups" | "removeGroup"): CommandEntry {
  return entry(async () => {
    const groups = await import("./groups.ts");
    return { run: groups[command], help: groups.groupsHelp };
  });
}

function entry(load: CommandEntry["load"]): CommandEntry {
  return { family: "seed", load };
}
