/** Calico's configuration file for clients (calicoctl.md 4.2), read strictly: a misspelt setting would silently not count. */

import { readFileSync } from "node:fs";
import { BadInput, OperationError } from "../base/errors.ts";

/** All fields of the spec there are; those of Kubernetes may stand there and mean nothing here. */
const settingNames: ReadonlySet<string> = new Set(
  [
    "datastoreType etcdEndpoints etcdDiscoverySrv etcdUsername etcdPassword etcdKeyFile etcdCertFile etcdCACertFile",
    "etcdKey etcdCert etcdCACert kubeconfig kubeconfigInline k8sAPIEndpoint k8sKeyFile k8sCertFile k8sCAFile",
    "k8sAPIToken k8sInsecureSkipTLSVerify k8sDisableNodePoll usePodCIDR k8sClientQPS k8sClientBurst k8sCurrentContext",
    "calicoAPIGroup",
  ]
    .join(" ")
    .split(" "),
);
const expected = "kind: CalicoAPIConfig, apiVersion: projectcalico.org/v3, spec: {...}";

export type FileSettings = Readonly<Record<string, unknown>>;

/** The spec; undefined when there is no such file. @throws BadInput, OperationError */
export function readConfigFile(file: string): FileSettings | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new OperationError("STORE_CONFIG_UNREADABLE", `cannot read ${file}`, { cause: error, retry: "after-change" });
  }
  let document: unknown;
  try {
    // Loaded by those who have such a file: 1.3 ms of a short command.
    const yaml: typeof import("yaml") = require("yaml");
    document = yaml.parse(text);
  } catch (error) {
    const problem = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new BadInput(file, `syntax error in ${file}: failed to parse config as YAML/JSON: ${problem}`, expected);
  }
  if (document === null || document === undefined) return {};
  if (!isRecord(document)) throw new BadInput(file, "not a mapping", expected);
  const { apiVersion, kind, metadata: _metadata, spec, ...more } = document;
  refuseUnknown(file, Object.keys(more));
  if (apiVersion !== undefined && apiVersion !== "projectcalico.org/v3") {
    throw new BadInput(file, `invalid config file: unknown APIVersion '${String(apiVersion)}'`, expected);
  }
  if (kind !== undefined && kind !== "CalicoAPIConfig") {
    throw new BadInput(file, `invalid config file: expected kind 'CalicoAPIConfig', got '${String(kind)}'`, expected);
  }
  if (spec === undefined || spec === null) return {};
  if (!isRecord(spec)) throw new BadInput(`${file}: spec`, "not a mapping", expected);
  refuseUnknown(
    file,
    Object.keys(spec).filter((name) => !settingNames.has(name)),
  );
  return spec;
}

function refuseUnknown(file: string, names: readonly string[]): void {
  const [name] = names;
  if (name === undefined) return;
  const problem = `syntax error in ${file}: failed to parse config as YAML/JSON: unknown field "${name}"`;
  throw new BadInput(file, problem, expected);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
