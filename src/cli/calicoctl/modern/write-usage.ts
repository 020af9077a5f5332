/** The words of the commands that write resources. */

import type { Operation } from "./resource-writer.ts";

const file = "-f FILE|DIR|- [-R] [--skip-empty]";
const common = "[-n NAMESPACE] [--dry-run]";

export const writeUsage: Readonly<Record<Operation, string>> = {
  create: `Usage:
  calicoctl create ${file} [--skip-exists] ${common}
`,
  apply: `Usage:
  calicoctl apply ${file} [--force] ${common}
`,
  replace: `Usage:
  calicoctl replace ${file} [--force] ${common}
`,
  delete: `Usage:
  calicoctl delete KIND NAME... [-s | --skip-not-exists] ${common}
  calicoctl delete ${file} [-s | --skip-not-exists] [--force] ${common}
`,
};

const what: Readonly<Record<Operation, string>> = {
  create: "Creates resources; one that exists is an error.",
  apply: "Creates resources, or changes those that exist into what the file says.",
  replace: "Changes resources; one that does not exist is an error.",
  delete: "Deletes resources.",
};

const examples: Readonly<Record<Operation, string>> = {
  create: `  calicoctl create -f policy.yaml
  calicoctl create -f policies/ --recursive --skip-exists`,
  apply: `  calicoctl apply -f policy.yaml
  calicoctl get pool office -o yaml | sed 's/natOutgoing: false/natOutgoing: true/' | calicoctl apply -f -
  calicoctl apply -f policies/ --dry-run            what would change; nothing is written`,
  replace: `  calicoctl replace -f policy.yaml
  calicoctl replace -f saved.yaml --force           whatever version the file says`,
  delete: `  calicoctl delete globalnetworkpolicy no-web
  calicoctl delete networkset blocked -n production
  calicoctl delete -f policies/ --skip-not-exists`,
};

const onlyOf: Readonly<Record<Operation, string>> = {
  create: "      --skip-exists     leave what exists as it is\n",
  apply: "",
  replace: "",
  delete: "  -s, --skip-not-exists what does not exist is no error\n",
};

export function writeHelp(operation: Operation): string {
  const force = operation === "create" ? "" : "      --force           a resourceVersion in the file does not count\n";
  return `${what[operation]}

${writeUsage[operation]}
Options:
  -f, --filename=FILE   YAML or JSON; several documents, arrays and lists; a directory; "-" is standard input
  -R, --recursive       of a directory, its directories too
      --skip-empty      a file without resources is no error
  -n, --namespace=NS    of resources that name none (default: default)
      --dry-run         check everything, with what is stored, show what would change, and write nothing
${onlyOf[operation]}${force}
A resourceVersion in the file must be the stored one. All resources are tried; one that fails makes the exit code 1.

Examples:
${examples[operation]}
`;
}
