/** `margay agent`: runs tasks in containers on this host for a Mesos master. */

import { systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import { createLog } from "../base/log.ts";
import type { Role } from "../base/role.ts";
import { agentHelp, parseAgentFlags } from "../mesos/agent/agent-flags.ts";
import { startAgent } from "../mesos/agent/start-agent.ts";

export const role: Role = {
  summary: "the cluster agent: runs tasks in containers on this host",
  async run(argv, io) {
    if (argv.includes("--help") || argv.includes("-h")) {
      io.stdout(agentHelp);
      return 0;
    }
    try {
      const flags = parseAgentFlags(argv, io.env);
      await startAgent(flags, { clock: systemClock, log: createLog("agent"), signal: io.signal });
      return 0;
    } catch (error) {
      if (io.signal.aborted) return 0;
      const remedy = error instanceof OperationError && error.remedy !== undefined ? `\n${error.remedy}` : "";
      io.stderr(`margay agent: ${describeError(error)}${remedy}\n`);
      return error instanceof BadInput ? 2 : 1;
    }
  },
};
