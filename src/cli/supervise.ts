/** `margay supervise`: what calicoctl leaves behind to keep a service of this host running. */

import { parseArgs } from "node:util";
import { systemClock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Role } from "../base/role.ts";
import { supervise } from "./services/supervision.ts";

const help = `margay supervise: keeps one service of this host running; "calicoctl node" starts it

Usage: margay supervise --name=node|store --id=ID [--run-dir=DIR] [--log-dir=DIR] -- PROGRAM [ARGUMENTS]

  --run-dir=DIR   holds NAME.pid while it runs (default /run/margay)
  --log-dir=DIR   holds NAME.log (default /var/log/margay)

SIGTERM ends the program, then the supervisor.
`;

export const role: Role = {
  summary: "keeps a service of this host running (calicoctl node and master start it)",
  run: async (argv, io) => {
    if (argv[0] === "--help" || argv[0] === "-h") {
      io.stdout(help);
      return 0;
    }
    const end = argv.indexOf("--");
    const words = end < 0 ? [] : argv.slice(end + 1);
    try {
      const { values } = parseArgs({
        args: argv.slice(0, end < 0 ? argv.length : end),
        options: {
          name: { type: "string", default: "" },
          id: { type: "string", default: "" },
          "run-dir": { type: "string", default: "/run/margay" },
          "log-dir": { type: "string", default: "/var/log/margay" },
        },
      });
      const { name, id } = values;
      if ((name !== "node" && name !== "store") || !/^[0-9a-f]{64}$/.test(id) || words.length === 0) {
        io.stderr(help);
        return 2;
      }
      const places = { runDir: values["run-dir"], logDir: values["log-dir"] };
      return await supervise({ name, id, words, places, env: io.env, clock: systemClock, signal: io.signal });
    } catch (error) {
      io.stderr(`margay supervise: ${describeError(error)}\n`);
      return 1;
    }
  },
};
