/** The commands of the releases 0.6 to 0.23 (calicoctl.md 3), each loaded when it is called. */

import type { CommandEntry, CommandTable } from "../command.ts";

export const classicCommands: CommandTable = {
  profile: entry(async () => {
    const [{ profile }, { profileHelp }] = await Promise.all([import("./profile.ts"), import("./profile-usage.ts")]);
    return { run: profile, help: profileHelp };
  }),
  node: entry(async () => {
    const { node, nodeHelp } = await import("./node.ts");
    return { run: node, help: nodeHelp };
  }),
  status: entry(async () => {
    const { status, statusHelp } = await import("./status.ts");
    return { run: status, help: statusHelp };
  }),
  checksystem: entry(async () => {
    const { checksystem, checksystemHelp } = await import("./checksystem.ts");
    return { run: checksystem, help: checksystemHelp };
  }),
  diags: entry(async () => {
    const { diags, diagsHelp } = await import("./diags.ts");
    return { run: diags, help: diagsHelp };
  }),
  pool: entry(async () => {
    const { pool, poolHelp } = await import("./pool.ts");
    return { run: pool, help: poolHelp };
  }),
  bgp: entry(async () => {
    const { bgp, bgpHelp } = await import("./bgp.ts");
    return { run: bgp, help: bgpHelp };
  }),
  config: entry(async () => {
    const { config, configHelp } = await import("./config.ts");
    return { run: config, help: configHelp };
  }),
  container: entry(async () => {
    const { container, containerHelp } = await import("./container.ts");
    return { run: container, help: containerHelp };
  }),
  endpoint: entry(async () => {
    const { endpoint, endpointHelp } = await import("./endpoint.ts");
    return { run: endpoint, help: endpointHelp };
  }),
  "ipam release": {
    ...entry(async () => {
      const { ipamRelease, ipamHelp } = await import("./ipam.ts");
      return { run: ipamRelease, help: ipamHelp };
    }),
    // Today's has options only.
    takes: (args) => args.length > 0 && args.every((word) => !word.startsWith("-")),
  },
  "ipam info": entry(async () => {
    const { ipamInfo, ipamHelp } = await import("./ipam.ts");
    return { run: ipamInfo, help: ipamHelp };
  }),
};

function entry(load: CommandEntry["load"]): CommandEntry {
  return { family: "classic", load };
}
