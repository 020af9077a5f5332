/** `calicoctl label KIND NAME (KEY=VALUE [--overwrite] | KEY --remove)` (calicoctl.md 4.4) */

import { BadInput, describeError } from "../../../base/errors.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import { isLabelKey, isLabelValue } from "../../../model/names.ts";
import type { AnyResource } from "../../../model/resource.ts";
import { fieldErrorText, preparedResource } from "../../../model/resource-check.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { kindOfWord } from "./kind-words.ts";
import { editResource } from "./resource-edit.ts";
import { ResourceError } from "./resource-error.ts";
import { readWords } from "./words.ts";

export const labelUsage = `Usage:
  calicoctl label KIND NAME KEY=VALUE [--overwrite] [-n NAMESPACE]
  calicoctl label KIND NAME KEY --remove [-n NAMESPACE]
`;

export const labelHelp = `Sets, changes or removes one label of a resource.

${labelUsage}
Options:
      --overwrite       a label that is there gets the new value
      --remove          take the label off
  -n, --namespace=NS    of the resource (default: default)

Examples:
  calicoctl label node host1 rack=r1
  calicoctl label node host1 rack=r2 --overwrite
  calicoctl label networkset blocked team --remove -n production
`;

interface LabelWish {
  readonly key: string;
  /** Undefined: to be removed. */
  readonly value: string | undefined;
  readonly overwrite: boolean;
  /** "node host1", as the user typed it. */
  readonly what: string;
}

export async function label(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      overwrite: { type: "boolean", default: false },
      remove: { type: "boolean", default: false },
      namespace: { type: "string", short: "n" },
    },
    labelUsage,
  );
  const [word, name, text, ...more] = positionals;
  if (word === undefined || name === undefined || text === undefined || more.length > 0) {
    throw new UsageError(`accepts 3 arg(s), received ${positionals.length}\n\n${labelUsage}`);
  }
  if (values.overwrite && values.remove) throw new UsageError(labelUsage);
  const kind = kindOfWord(word, failure);
  if (name === "") throw failure("resource name may not be empty");
  if (values.namespace !== undefined && !isNamespaced(kind)) throw failure(`${kind} is not namespaced`);
  const wish = { ...labelOf(text, values.remove), overwrite: values.overwrite, what: `${word} ${name}` };
  const id = { kind, name, ...(isNamespaced(kind) ? { namespace: values.namespace ?? "default" } : {}) };
  let done = "";
  try {
    if (kind === "ClusterInformation")
      throw failure("operation label is not supported on ClusterInformation: resource is readonly");
    await editResource(context, id, (stored) => {
      const { resource, said } = labelled(stored, wish);
      done = said;
      return preparedResource(resource);
    });
  } catch (error) {
    if (error instanceof ResourceError && error.reason === "missing") throw failure(`${wish.what} not found`);
    if (!(error instanceof ResourceError) && !(error instanceof BadInput)) throw error;
    const why = error instanceof BadInput ? fieldErrorText(error, undefined) : describeError(error);
    throw failure(`failed to update ${wish.what}, label not changed: ${why}`);
  }
  context.io.stdout(`${done}\n`);
  return 0;
}

function labelOf(text: string, remove: boolean): Pick<LabelWish, "key" | "value"> {
  const at = text.indexOf("=");
  const [key, value] = remove ? [text, undefined] : [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
  if ((!remove && at < 0) || !isLabelKey(key) || (value !== undefined && !isLabelValue(value))) {
    throw failure(`invalid label ${text}`);
  }
  return { key, value };
}

function labelled(
  stored: AnyResource,
  { key, value, overwrite, what }: LabelWish,
): { readonly resource: AnyResource; readonly said: string } {
  const { [key]: present, ...others } = stored.metadata.labels ?? {};
  const withLabels = (labels: Record<string, string>) => ({ ...stored, metadata: { ...stored.metadata, labels } });
  if (value === undefined) {
    if (present === undefined) throw failure(`cannot remove label of ${what}, key ${key} does not exist`);
    return { resource: withLabels(others), said: `Successfully removed label ${key} from ${what}` };
  }
  if (present !== undefined && present !== value && !overwrite) {
    throw failure(
      `failed to update label of ${what}, key ${key} is already present. please use '--overwrite' to set a new value`,
    );
  }
  const verb = present === undefined ? "set" : "updated";
  return { resource: withLabels({ ...others, [key]: value }), said: `Successfully ${verb} label ${key} on ${what}` };
}

function failure(problem: string): CommandFailure {
  return new CommandFailure("stderr", `${problem}\n`);
}
