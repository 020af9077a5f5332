/**
 * What a command that is given a file is about: each resource in the form in which it would be written, or what is wrong
 * with it and where that stands (calicoctl.md 4.3). Asks no store.
 */

import { BadInput } from "../../../base/errors.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import type { AnyResource } from "../../../model/resource.ts";
import { fieldErrorText, preparedResource } from "../../../model/resource-check.ts";
import { problemsOf } from "../../../model/several-problems.ts";
import type { CalicoctlContext } from "../command.ts";
import { type InputResource, isDirectory, readInput, refusal, unknownField } from "./input-documents.ts";
import type { ResourceId } from "./resource-error.ts";

export interface Task {
  readonly id: ResourceId;
  readonly resourceVersion: string | undefined;
  /** Undefined: not fit to be written, or not needed. */
  readonly resource: AnyResource | undefined;
  readonly problem: string | undefined;
  /** Of each problem, or of the resource: "FILE, document 2, line 14". */
  readonly places: readonly string[];
}

/** What is done with the resources: decides what one must have. */
export type Purpose = "create" | "apply" | "replace" | "delete" | "get" | "validate";

export interface FileWish {
  readonly source: string;
  readonly recursive: boolean;
  readonly skipEmpty: boolean;
  readonly namespace: string | undefined;
}

/** Empty only where that was said to be no error. @throws CommandFailure for what refuses the whole command */
export async function fileTasks(
  { io }: CalicoctlContext,
  purpose: Purpose,
  { source, recursive, skipEmpty, namespace }: FileWish,
): Promise<readonly Task[]> {
  const inputs = await readInput({ source, recursive }, io);
  if (inputs.length === 0 && !skipEmpty) {
    throw refusal(`no resources specified in ${(await isDirectory(source)) ? "directory" : "file"} ${source}`);
  }
  return inputs.map((input) => taskOf(input, purpose, namespace));
}

/** @throws CommandFailure for what no client can read, which refuses the whole command */
export function taskOf({ kind, document, where }: InputResource, purpose: Purpose, client: string | undefined): Task {
  const given = document.metadata as Readonly<Record<string, string | undefined>>;
  const namespace = given.namespace || (isNamespaced(kind) ? (client ?? "default") : undefined);
  const { namespace: _given, ...metadata } = document.metadata;
  const filled = { ...document, metadata: { ...metadata, ...(namespace === undefined ? {} : { namespace }) } };
  const name = given.name ?? "";
  const base = {
    id: { kind, name, ...(namespace === undefined ? {} : { namespace }) },
    resourceVersion: given.resourceVersion || undefined,
    resource: undefined,
    places: [where("metadata.name")],
  };
  const problem = namespaceProblem(kind, given.namespace, client) ?? creationProblem(purpose, kind, given);
  if (problem !== undefined) return { ...base, problem };
  try {
    const resource = preparedResource(filled);
    return { ...base, id: { ...base.id, name: resource.metadata.name }, resource, problem: undefined };
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    // What is to go or to be shown need not be right.
    const asIs = purpose === "delete" || purpose === "get";
    refuseUnreadable(error, where, asIs);
    if (asIs) return { ...base, problem: name === "" ? missingName : undefined };
    return { ...base, problem: fieldErrorText(error, filled), places: placesOf(error, where) };
  }
}

export const missingName = "insufficient identifiers, missing 'name'";

/** Fields nobody knows, and values that Go's clients cannot even read, refuse the whole file. */
function refuseUnreadable(error: BadInput, where: InputResource["where"], asIs: boolean): void {
  for (const { path, problem } of problemsOf(error)) {
    if (problem === "unknown field") throw unknownField(path, where);
    if (asIs) continue;
    if (!problem.startsWith("Invalid input: expected ") && !/\b(asNumber|localASNumber)$/.test(path)) continue;
    throw refusal(`${path}: ${problem} (${where(path)})`);
  }
}

function placesOf(error: BadInput, where: InputResource["where"]): readonly string[] {
  return problemsOf(error).map(({ path }) => {
    const inDocument = path.replace(/^IPPool\./, "").replace(/^(Metadata|Spec)\./, (part) => part.toLowerCase());
    return inDocument === "" ? where("kind") : `${where(inDocument)} (${inDocument})`;
  });
}

function namespaceProblem(kind: ResourceId["kind"], given: string | undefined, client: string | undefined) {
  if (!given) return undefined;
  if (!isNamespaced(kind)) {
    return `namespace should not be specified for a non-namespaced resource. ${kind} is not a namespaced resource`;
  }
  if (client === undefined || client === given) return undefined;
  return `resource namespace does not match client namespace. ${given} != ${client}`;
}

function creationProblem(
  purpose: Purpose,
  kind: ResourceId["kind"],
  { name, generateName, resourceVersion }: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (purpose === "delete" || purpose === "get") return undefined;
  if (!name && kind !== "WorkloadEndpoint") {
    const more = generateName ? " (GenerateName is not supported)" : "";
    return `error with field Metadata.Name = '' (field must be set for ${purpose === "replace" ? "an Update" : "a Create"} request${more})`;
  }
  if (purpose !== "create" || !resourceVersion) return undefined;
  return `error with field Metadata.ResourceVersion = '${resourceVersion}' (field must not be set for a Create request)`;
}
