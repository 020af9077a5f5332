/** `margay master`: flags in, the cluster master running until it is stopped. */

import { systemClock } from "../base/clock.ts";
import { BadInput } from "../base/errors.ts";
import { createLog } from "../base/log.ts";
import type { Role } from "../base/role.ts";
import { masterUsage, parseMasterFlags } from "../mesos/master/flags.ts";
import { runMaster } from "../mesos/master/start-master.ts";
import { resolveConnection } from "../store/connection-settings.ts";

const storeVariables = ["ETCD_ENDPOINTS", "ETCD_DISCOVERY_SRV"].flatMap((name) => [`CALICO_${name}`, name]);
storeVariables.push("ETCD_AUTHORITY");

export const role: Role = {
  summary: "the cluster master: Mesos v1 scheduler and operator APIs",
  async run(argv, io) {
    if (argv.includes("--help") || argv.includes("-h")) {
      io.stdout(masterUsage());
      return 0;
    }
    try {
      const flags = parseMasterFlags(argv, io.env);
      const named = flags.store !== undefined || storeVariables.some((name) => (io.env[name] ?? "") !== "");
      const connection = named ? resolveConnection(flags.store, io.env) : undefined;
      await runMaster({ flags, connection, clock: systemClock, log: createLog("master") }, io.signal);
      return 0;
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      io.stderr(`margay master: ${error.message}\n\n${masterUsage()}`);
      return 1;
    }
  },
};
