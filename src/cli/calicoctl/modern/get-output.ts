/** The forms in which `get` shows resources (calicoctl.md 4.5). */

import { readFileSync } from "node:fs";
import { BadInput, describeError } from "../../../base/errors.ts";
import { stringifyJson } from "../../../model/json.ts";
import { isNamespaced } from "../../../model/kinds.ts";
import { type AnyResource, apiVersion } from "../../../model/resource.ts";
import { CommandFailure } from "../command.ts";
import { type CellContext, columnsOf, type KindView, viewOfKind } from "./get-kinds.ts";
import { tabTable } from "./tab-table.ts";

export type OutputForm =
  | { readonly kind: "ps" | "wide" | "yaml" | "json" | "name" }
  | { readonly kind: "columns"; readonly columns: readonly string[] }
  | { readonly kind: "template"; readonly template: string };

/** What one request found: a list, or a resource that was asked for by name. */
export type Result =
  | { readonly view: KindView; readonly list: readonly AnyResource[]; readonly revision: number }
  | { readonly view: KindView; readonly one: AnyResource };

const refusal = (problem: string) => new CommandFailure("stderr", `${problem}\n`);

/** @throws CommandFailure */
export function parseOutput(text: string): OutputForm {
  const [name = "", ...rest] = text.split("=");
  const value = rest.join("=");
  switch (name) {
    case "ps":
    case "wide":
    case "yaml":
    case "json":
    case "name":
      if (rest.length === 0) return { kind: name };
      break;
    case "yml":
      if (rest.length === 0) return { kind: "yaml" };
      break;
    case "custom-columns": {
      const columns = value.split(",").filter((column) => column !== "");
      if (columns.length === 0) throw refusal("need to specify at least one column");
      return { kind: "columns", columns: columns.map((column) => column.toUpperCase()) };
    }
    case "go-template":
      if (value === "") throw refusal("need to specify a template");
      return { kind: "template", template: value };
    case "go-template-file":
      if (value === "") throw refusal("need to specify a template file");
      return { kind: "template", template: templateOfFile(value) };
  }
  throw refusal(`unrecognized output format '${text}'`);
}

function templateOfFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw refusal(`cannot read template file ${file}: ${describeError(error)}`);
  }
}

/** @throws CommandFailure when columns or template do not fit */
export async function outputOf(
  form: OutputForm,
  results: readonly Result[],
  context: CellContext,
  showNamespace: boolean,
): Promise<string> {
  const [first] = results;
  if (first === undefined) return "";
  if (form.kind === "template") return await templateOutput(form.template, results, context);
  if (form.kind === "json" || form.kind === "yaml") {
    const documents = results.map(documentOf);
    const document = documents.length === 1 ? documents[0] : documents;
    if (form.kind === "json") return stringifyJson(document, 2);
    const { documentYaml } = await import("./document-yaml.ts");
    return documentYaml(document);
  }
  return results.map((result) => tableOf(form, result, context, showNamespace)).join("");
}

function documentOf(result: Result): unknown {
  if ("one" in result) return result.one;
  const { view, list, revision } = result;
  return { kind: `${view.kind}List`, apiVersion, metadata: { resourceVersion: String(revision) }, items: list };
}

async function templateOutput(template: string, results: readonly Result[], context: CellContext): Promise<string> {
  const { renderTemplate } = await import("./go-template/execute.ts");
  const config = (name: unknown) => (String(name).toLowerCase() === "asnumber" ? context.asNumber : "");
  try {
    return renderTemplate(template, results.map(documentOf), { config });
  } catch (error) {
    if (error instanceof BadInput) throw refusal(describeError(error));
    throw error;
  }
}

function tableOf(
  form: Exclude<OutputForm, { kind: "template" }>,
  result: Result,
  context: CellContext,
  showNamespace: boolean,
): string {
  const { view } = result;
  const resources = "one" in result ? [result.one] : result.list;
  if (form.kind === "name")
    return resources.map(({ metadata }) => `${view.kind.toLowerCase()}/${metadata.name}\n`).join("");
  const columns = form.kind === "columns" ? form.columns : form.kind === "wide" ? view.wide : view.columns;
  const known = columnsOf(view);
  for (const column of columns) {
    if (!known.includes(column)) throw refusal(`unknown heading ${column}, valid values are: ${known.join(", ")}`);
  }
  const spaced = showNamespace && isNamespaced(view.kind) && form.kind !== "columns";
  const shown = spaced ? ["NAMESPACE", ...columns] : columns;
  const cell = (resource: AnyResource, column: string) =>
    column === "NAMESPACE" ? (resource.metadata.namespace ?? "") : view.cell(resource, column, context);
  return tabTable(
    shown,
    resources.map((resource) => shown.map((column) => cell(resource, column))),
  );
}

export function resultOf(resource: AnyResource): Result {
  return { view: viewOfKind(resource.kind), one: resource };
}
