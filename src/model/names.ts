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

/** A node of the store's names: host names that stand verbatim in keys. */
export function checkHostName(text: string, path: string): string {
  return checkResourceName(text, path);
}
