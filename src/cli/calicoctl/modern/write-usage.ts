/** The words of the commands that write resources. */

import type { Operation } from "./resource-writer.ts";

const file = "-f FILE|DIR|- [-R] [--skip-empty]";
const common = "[-n NAMESPACE] [--dry-run]";

export const writeUsage: Readonly<Record<Operation, string>> = {
  create: `Usage:
  calicoctl create ${file} [--skip-exists] ${common}
`,
  apply: `Usage:
  calicoctl apply ${file} ${common}
`,
  replace: `Usage:
  calicoctl replace ${file} ${common}
`,
  delete: `Usage:
  calicoctl delete KIND NAME... [-s | --skip-not-exists] ${common}
  calicoctl delete ${file} [-s | --skip-not-exists] ${common}
`,
};

const what: Readonly<Record<Operation, string>> = {
  create: "Creates resources; one that exists is an error.",
  apply: "Creates resources, or changes those that exist into what the file says.",
  replace: "Changes resources; one that does not exist is an error.",
  delete: "Deletes resources.",
};

export function writeHelp(operation: Operation): string {
  return `${what[operation]}

${writeUsage[operation]}
Options:
  -f, --filename=FILE   YAML or JSON; several documents, arrays and lists; a directory; "-" is standard input
  -R, --recursive       of a directory, its directories too
      --skip-empty      a file without resources is no error
  -n, --namespace=NS    of resources that name none (default: default)
      --dry-run         check everything, with what is stored, and write nothing
${operation === "create" ? "      --skip-exists     leave what exists as it is\n" : ""}${
  operation === "delete" ? "  -s, --skip-not-exists what does not exist is no error\n" : ""
}
A resourceVersion in the file must be the stored one. All resources are tried; one that fails makes the exit code 1.
`;
}
