/** `calicoctl endpoint show` and `calicoctl endpoint E profile ...` (calicoctl.md 3.4): the store is all they touch. */

import type { CalicoctlContext, Command } from "../command.ts";
import { listEndpoints } from "./endpoint-access.ts";
import {
  ambiguousEndpoint,
  changeProfiles,
  checkProfiles,
  noEndpoint,
  type ProfilesChange,
  profileNames,
  showProfiles,
} from "./endpoint-profiles.ts";
import { detailedTable, summaryTable } from "./endpoint-table.ts";
import { commandOfForms, type Form, type Typed } from "./usage-forms.ts";

const endpointUsage = `Usage:
  calicoctl endpoint show [--host=<HOSTNAME>] [--orchestrator=<ID>] [--workload=<ID>] [--endpoint=<ID>] [--detailed]
  calicoctl endpoint <ENDPOINT_ID> profile (append|remove|set) [--host=<HOSTNAME>] [--orchestrator=<ID>]
    [--workload=<ID>] [<PROFILES>...]
  calicoctl endpoint <ENDPOINT_ID> profile show [--host=<HOSTNAME>] [--orchestrator=<ID>] [--workload=<ID>]
`;

export const endpointHelp = `Shows the endpoints of all hosts, and changes the profiles that say who may talk to one.

${endpointUsage}
Options:
  --detailed            one row an endpoint, with addresses and profiles
  --host=<HOSTNAME>     only endpoints of this host; likewise the others

"set" without profiles removes all: nobody reaches the endpoint then. Changes are in force at once.

Examples:
  calicoctl endpoint show --detailed --host=node1
  calicoctl endpoint 4e1f9ad2c0ffee profile append web db
  calicoctl endpoint 4e1f9ad2c0ffee profile set
`;

const scope = ["--host=", "--orchestrator=", "--workload="];

export const endpoint: Command = commandOfForms(endpointUsage, [
  { words: "show", options: [...scope, "--endpoint=", "--detailed"], run: show },
  profilesForm("append"),
  profilesForm("remove"),
  profilesForm("set"),
  {
    words: "ENDPOINT profile show",
    options: scope,
    run: async (context, typed) => {
      const store = await context.store();
      return showProfiles(context, store, await theEndpoint(context, typed, "show"));
    },
  },
]);

function profilesForm(change: ProfilesChange): Form {
  return {
    words: `ENDPOINT profile ${change} PROFILES*`,
    options: scope,
    run: async (context, typed) => {
      const store = await context.store();
      await checkProfiles(store, typed.all("PROFILES"));
      const found = await theEndpoint(context, typed, change);
      return await changeProfiles(context, store, found, change, typed.all("PROFILES"));
    },
  };
}

async function show({ io, store }: CalicoctlContext, typed: Typed): Promise<number> {
  const opened = await store();
  const endpoints = await listEndpoints(opened, { ...filterOf(typed), id: typed.option("--endpoint") });
  io.stdout(typed.has("--detailed") ? detailedTable(endpoints, await profileNames(opened)) : summaryTable(endpoints));
  return 0;
}

async function theEndpoint({ store }: CalicoctlContext, typed: Typed, change: ProfilesChange | "show") {
  const id = typed.word("ENDPOINT");
  const [found, ...others] = await listEndpoints(await store(), { ...filterOf(typed), id });
  if (found === undefined) throw noEndpoint(change, id);
  if (others.length > 0) throw ambiguousEndpoint();
  return found;
}

function filterOf(typed: Typed) {
  return {
    host: typed.option("--host"),
    orchestrator: typed.option("--orchestrator"),
    workload: typed.option("--workload"),
  };
}
