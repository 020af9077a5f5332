/** `calicoctl patch KIND NAME -p PATCH [-t strategic|json|merge]` (calicoctl.md 4.1, 4.4) */

import { parse as parseYaml } from "yaml";
import { BadInput, describeError } from "../../../base/errors.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import type { AnyResource } from "../../../model/resource.ts";
import { fieldErrorText, preparedResource } from "../../../model/resource-check.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { inputResource, isFields, refusal } from "./input-documents.ts";
import { kindOfWord } from "./kind-words.ts";
import { type PatchType, patched, patchTypes } from "./patch-document.ts";
import { editResource } from "./resource-edit.ts";
import { idText, notSupported, ResourceError, type ResourceId } from "./resource-error.ts";
import { readWords } from "./words.ts";

export const patchUsage = `Usage:
  calicoctl patch KIND NAME -p PATCH [-t strategic|json|merge] [-n NAMESPACE] [--dry-run]
`;

export const patchHelp = `Changes parts of one resource.

${patchUsage}
Options:
  -p, --patch=PATCH     JSON or YAML
  -t, --type=TYPE       strategic (the default): a part of the resource, null removes a field, a list replaces the list;
                        merge: the same after RFC 7396; json: a list of steps after RFC 6902
  -n, --namespace=NS    of the resource (default: default)
      --dry-run         show what would change, and write nothing

Examples:
  calicoctl patch node host1 -p '{"spec": {"bgp": {"routeReflectorClusterID": "244.0.0.1"}}}'
  calicoctl patch pool office -t merge -p '{"spec": {"disabled": true}}'
  calicoctl patch gnp no-web -t json -p '[{"op": "replace", "path": "/spec/order", "value": 20}]'
`;

const hitError = (problem: string) => new CommandFailure("stderr", `hit error: ${problem}\n`);

export async function patch(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      patch: { type: "string", short: "p" },
      type: { type: "string", short: "t", default: "strategic" },
      namespace: { type: "string", short: "n" },
      "dry-run": { type: "boolean", default: false },
    },
    patchUsage,
  );
  const [word, name, ...more] = positionals;
  if (word === undefined || name === undefined || more.length > 0) {
    throw new UsageError(`accepts 2 arg(s), received ${positionals.length}\n\n${patchUsage}`);
  }
  if (values.patch === undefined) throw new UsageError(`required flag(s) "patch" not set\n\n${patchUsage}`);
  const type = patchTypes.find((known) => known === values.type);
  if (type === undefined) throw refusal(`patch type '${values.type}' is not supported: ${patchTypes.join(", ")}`);
  const kind = kindOfWord(word, refusal);
  if (name === "") throw refusal("resource name may not be empty");
  if (values.namespace !== undefined && !isNamespaced(kind)) throw refusal(`${kind} is not namespaced`);
  const id = { kind, name, ...(isNamespaced(kind) ? { namespace: values.namespace ?? "default" } : {}) };
  const steps = patchOf(values.patch, type);
  try {
    if (kind === "ClusterInformation") throw notSupported("update", kind, "resource is readonly");
    const change = await editResource(context, id, (stored) => edited(id, stored, steps, type), {
      dryRun: values["dry-run"],
    });
    if (change !== undefined) context.io.stdout(`${idText(id)}: ${change.what}\n${change.diff}`);
  } catch (error) {
    if (error instanceof ResourceError) throw hitError(error.message);
    if (error instanceof BadInput) throw hitError(`updating existing resource: ${fieldErrorText(error, undefined)}`);
    throw error;
  }
  context.io.stdout(`Successfully patched 1 '${kind}' resource${values["dry-run"] ? " (dry run)" : ""}\n`);
  return 0;
}

function patchOf(text: string, type: PatchType): unknown {
  try {
    return parseYaml(text, { merge: true });
  } catch (error) {
    throw hitError(`performing ${type} patch: ${describeError(error).split("\n")[0]}`);
  }
}

/** Checked as a file is: a field nobody knows would silently mean nothing. */
function edited(id: ResourceId, stored: AnyResource, steps: unknown, type: PatchType): AnyResource {
  const document = patchedDocument(stored, steps, type);
  try {
    if (!isFields(document)) throw new BadInput("patch", "leaves nothing of the resource", "an object");
    const item = inputResource({ document, where: (path) => path });
    const identity = { kind: item.kind, ...item.document.metadata } as unknown as AnyResource["metadata"];
    if (identity.kind !== id.kind || identity.name !== id.name || identity.namespace !== stored.metadata.namespace) {
      throw new BadInput("metadata", "a patch cannot rename a resource or change its kind", idText(id));
    }
    return preparedResource(item.document);
  } catch (error) {
    if (error instanceof BadInput)
      throw hitError(`creating resource from patched data: ${fieldErrorText(error, document)}`);
    if (error instanceof CommandFailure) {
      const problem = error.message.replace(/^failed to execute command: /, "").trimEnd();
      throw hitError(`creating resource from patched data: ${problem}`);
    }
    throw error;
  }
}

function patchedDocument(stored: AnyResource, steps: unknown, type: PatchType): unknown {
  try {
    return patched(stored, steps, type);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    const what = type === "strategic" ? "strategic merge" : type === "merge" ? "merge" : "JSON";
    throw hitError(`performing ${what} patch: ${error.message}`);
  }
}
