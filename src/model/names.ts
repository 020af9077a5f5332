/** Which texts may be names, labels and label values (calico-datastore.md 8.1, 8.2). */

import { BadInput } from "../base/errors.ts";

const nameRegex = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const nameLengthMax = 253;

export function isResourceName(text: string): boolean {
  return text.length <= nameLengthMax && nameRegex.test(text);
}

/** @throws BadInput in the words of calicoctl's validator. */
export function checkResourceName(text: string, path: string): string {
  if (text.length > nameLengthMax) {
    const problem = `name is too long by ${text.length - nameLengthMax} bytes`;
    throw new BadInput(path, problem, `at most ${nameLengthMax} characters`);
  }
  if (!nameRegex.test(text)) {
    const problem = "name must consist of lower case alphanumeric characters, '-' or '.'";
    throw new BadInput(path, `${problem} (regex: ${nameRegex.source.slice(1, -1)})`, "a name like my-calico-net");
  }
  return text;
}

/** A qualified name: optional DNS subdomain and slash, then 1 to 63 characters. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf("/");
  const name = text.slice(slash + 1);
  if (slash === 0 || (slash > 0 && !isResourceName(text.slice(0, slash)))) return false;
  return name !== "" && isLabelValue(name);
}

export function isLabelValue(text: string): boolean {
  return text === "" || (text.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(text));
}

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const tierRegex = new RegExp(`^${label}$`);
const globalPolicyRegex = new RegExp(`^(${label}\\.)?${label}$`);
const policyRegex = new RegExp(`^((${label}\\.)?${label}|(knp|ossg)\\.default\\.${subdomain})$`);
const annotationsSizeMax = 256 * 1024;
const utf8 = new TextEncoder();

/** The name of an object of the kind. @throws BadInput in the words of calicoctl's validator. */
export function checkNameOfKind(kind: string, name: string, path: string): void {
  const must = (regex: RegExp, characters: string) => {
    if (regex.test(name)) return;
    const problem = `name must consist of lower case alphanumeric characters${characters} (regex: ${regex.source})`;
    throw new BadInput(path, problem, "a name like allow-web");
  };
  checkResourceName(name, path);
  switch (kind) {
    case "Tier":
      if (name.length > 63) {
        throw new BadInput(path, `name is too long by ${name.length - 63} bytes`, "at most 63 characters");
      }
      must(tierRegex, " or '-'");
      break;
    case "NetworkPolicy":
    case "StagedNetworkPolicy":
      must(policyRegex, ", '-' or '.'");
      break;
    case "GlobalNetworkPolicy":
    case "StagedGlobalNetworkPolicy":
      must(globalPolicyRegex, ", '-' or '.'");
      break;
    case "ClusterInformation":
    case "IPAMConfiguration":
    case "KubeControllersConfiguration":
      if (name !== "default") {
        const what = {
          ClusterInformation: "a Cluster Information",
          IPAMConfiguration: "an IPAMConfiguration",
          KubeControllersConfiguration: "a Kube Controllers Configuration",
        }[kind];
        throw new BadInput(path, `Cannot create ${what} resource with a name other than "default"`, "default");
      }
      break;
    default:
      break;
  }
}

/** @throws BadInput for the first label or annotation that is none. */
export function checkLabelsAndAnnotations(
  labels: Readonly<Record<string, string>>,
  annotations: Readonly<Record<string, string>>,
  path = "metadata",
): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!isLabelKey(key)) throw new BadInput(`${path}.labels`, `invalid label key "${key}"`, "a qualified name");
    if (!isLabelValue(value)) {
      throw new BadInput(`${path}.labels`, `invalid value "${value}" of label ${key}`, "up to 63 of [A-Za-z0-9_.-]");
    }
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    if (!isLabelKey(key.toLowerCase())) {
      throw new BadInput(`${path}.annotations`, `invalid annotation key "${key}"`, "a qualified name");
    }
    bytes += utf8.encode(key).length + utf8.encode(value).length;
  }
  if (bytes > annotationsSizeMax) {
    const problem = `total size of annotations is too large by ${bytes - annotationsSizeMax} bytes`;
    throw new BadInput(`${path}.annotations`, problem, "at most 256 KiB");
  }
}

/** A node of the store's names: host names that stand verbatim in keys. */
export function checkHostName(text: string, path: string): string {
  return checkResourceName(text, path);
}
