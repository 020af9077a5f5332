/** The words of `calicoctl get`, with every kind and its other names. */

import { kindViews } from "./get-kinds.ts";

export const getUsage = `Usage:
  calicoctl get KIND [NAME...] [-o FORMAT] [-n NAMESPACE | -A] [--export]
  calicoctl get -f FILE|DIR|- [-R] [--skip-empty] [-o FORMAT] [-n NAMESPACE] [--export]
`;

export const getHelp = `Shows resources: all of a kind, those of some names, or those that a file names.

${getUsage}
Options:
  -o, --output=FORMAT   ps (the default), wide, yaml, json, name, custom-columns=NAME,..., go-template=TEMPLATE or
                        go-template-file=FILE; a template runs on the list of results: {{range .}}{{.Name}}{{end}}, and
                        where a whole kind was asked for {{range .}}{{range .Items}}{{.Name}}{{end}}{{end}}
  -n, --namespace=NS    of one namespace (default: default)
  -A, --all-namespaces  of all namespaces
      --export          without what only holds in this cluster; of named resources
  -f, --filename=FILE   the resources that a file names; a directory; "-" is standard input
  -R, --recursive       of a directory, its directories too
      --skip-empty      a file without resources is no error

Kinds and their other names:
${kindViews.map(({ kind, aliases }) => `  ${kind.padEnd(29)} ${aliases.join(", ")}`).join("\n")}

Examples:
  calicoctl get nodes -o wide
  calicoctl get workloadendpoints --all-namespaces
  calicoctl get globalnetworkpolicy no-web -o yaml --export > no-web.yaml
  calicoctl get pools -o custom-columns=NAME,CIDR,NAT
  calicoctl get pool office lab -o go-template='{{range .}}{{.Spec.CIDR}} {{end}}'
`;
