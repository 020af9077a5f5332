/** The commands of the releases 0.6 to 0.23 (calicoctl.md 3), each loaded when it is called. */

import type { CommandTable } from "../command.ts";

export const classicCommands: CommandTable = {
  profile: {
    family: "classic",
    load: async () => {
      const [{ profile }, { profileHelp }] = await Promise.all([import("./profile.ts"), import("./profile-usage.ts")]);
      return { run: profile, help: profileHelp };
    },
  },
};
