/** `calicoctl validate -f FILE`: every rule of the kinds, without any store; -o shows what would be written. */

import { stringifyJson } from "../../../model/json.ts";
import { type CalicoctlContext, UsageError } from "../command.ts";
import { documentYaml } from "./document-yaml.ts";
import { fileTasks } from "./file-resources.ts";
import { fileFlags, readWords } from "./words.ts";
import { reportOutcomes } from "./write-report.ts";

export const validateUsage = `Usage:
  calicoctl validate -f FILE|DIR|- [-R] [--skip-empty] [-n NAMESPACE] [-o yaml|json]
`;

export const validateHelp = `Checks resources as the commands that write them do, without any store.

${validateUsage}
Options:
  -f, --filename=FILE   YAML or JSON; several documents, arrays and lists; a directory; "-" is standard input
  -R, --recursive       of a directory, its directories too
      --skip-empty      a file without resources is no error
  -n, --namespace=NS    of resources that name none (default: default)
  -o, --output=FORMAT   yaml or json: what would be written, defaults filled in

What a store would say (a tier that is missing, pools that overlap) is told by: calicoctl apply --dry-run

Examples:
  calicoctl validate -f policies/ --recursive
  calicoctl validate -f pool.yaml -o yaml
`;

export async function validate(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { io } = context;
  const { values, positionals } = readWords(
    args,
    { ...fileFlags, output: { type: "string", short: "o" } },
    validateUsage,
  );
  const { filename: source, recursive, namespace, output } = values;
  if (source === undefined || positionals.length > 0) throw new UsageError(validateUsage);
  if (output !== undefined && !["yaml", "yml", "json"].includes(output)) {
    throw new UsageError(`unrecognized output format '${output}'\n\n${validateUsage}`);
  }
  const tasks = await fileTasks(context, "validate", { source, recursive, namespace, skipEmpty: values["skip-empty"] });
  if (tasks.length === 0) {
    io.stdout("No resources specified\n");
    return 0;
  }
  const good = tasks.flatMap(({ resource, problem }) =>
    resource === undefined || problem !== undefined ? [] : resource,
  );
  if (output === "json") io.stdout(`${stringifyJson(good, 2)}\n`);
  else if (output !== undefined) io.stdout(good.map(documentYaml).join("---\n"));
  const outcomes = tasks.map(({ id: { kind }, problem, places }) => ({ kind, problem, places }));
  const quiet = { stderr: io.stderr, stdout: output === undefined ? io.stdout : () => undefined };
  return reportOutcomes(quiet, "validate", outcomes, false);
}
