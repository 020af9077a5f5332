/** `calicoctl convert -f FILE`: resources of releases 1.0 to 2.6 (apiVersion v1) as those of today. Asks no store. */

import { BadInput } from "../../../base/errors.ts";
import { stringifyJson } from "../../../model/json.ts";
import { isNamespaced, type Kind } from "../../../model/kinds.ts";
import { type AnyResource, apiVersion } from "../../../model/resource.ts";
import { fieldErrorText, preparedResource } from "../../../model/resource-check.ts";
import { convertedV1, isV1Kind } from "../../../model/v1-conversion.ts";
import { type CalicoctlContext, UsageError } from "../command.ts";
import { documentYaml } from "./document-yaml.ts";
import { type InputDocument, inputResource, readDocuments, refusal } from "./input-documents.ts";
import { fileFlags, readWords } from "./words.ts";

export const convertUsage = `Usage:
  calicoctl convert -f FILE|DIR|- [-R] [-o yaml|json] [--ignore-validation]
`;

export const convertHelp = `Turns resources of releases 1.0 to 2.6 (apiVersion v1) into those of today, on standard output. Writes nothing.

${convertUsage}
Options:
  -f, --filename=FILE      YAML or JSON; several documents, arrays and lists; a directory; "-" is standard input
  -R, --recursive          of a directory, its directories too
      --skip-empty         a file without resources is no error
  -n, --namespace=NS       of resources that name none (default: default)
  -o, --output=FORMAT      yaml (the default) or json
      --ignore-validation  also what today's rules refuse

Tags become labels without a value; names that are not allowed any more get others. Resources of today stay what they are.

Examples:
  calicoctl convert -f old-policies/ > policies.yaml
  calicoctl convert -f old.yaml | calicoctl diff -f -
`;

export async function convert({ io }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      ...fileFlags,
      output: { type: "string", short: "o", default: "yaml" },
      "ignore-validation": { type: "boolean", default: false },
    },
    convertUsage,
  );
  const { filename: source, recursive, namespace = "default", output } = values;
  if (source === undefined || positionals.length > 0) throw new UsageError(convertUsage);
  if (!["yaml", "yml", "json"].includes(output)) {
    throw new UsageError(`unrecognized output format '${output}'\n\n${convertUsage}`);
  }
  const inputs = await readDocuments({ source, recursive }, io);
  if (inputs.length === 0 && !values["skip-empty"]) throw refusal(`no resources specified in file ${source}`);
  const converted = inputs.map((input) => convertedDocument(input, namespace, values["ignore-validation"]));
  io.stdout(
    output === "json"
      ? `${stringifyJson(converted.length === 1 ? converted[0] : converted, 2)}\n`
      : converted.map(documentYaml).join("---\n"),
  );
  return 0;
}

/** @throws CommandFailure with the place of what is wrong */
function convertedDocument(input: InputDocument, namespace: string, ignoreRules: boolean): AnyResource {
  const { document, where } = input;
  const { kind, apiVersion: version } = document;
  let shown: unknown = document;
  try {
    if (version === apiVersion) return inputResource(input).document as AnyResource;
    if (version !== "v1" || !isV1Kind(kind)) {
      throw refusal(
        `unknown resource type (${String(kind ?? "")}) and/or version (${String(version ?? "")}) (${where("kind")})`,
      );
    }
    const converted = convertedV1(kind, document);
    const { metadata } = converted;
    const scoped = isNamespaced(converted.kind as Kind) && metadata.namespace === undefined;
    const placed = scoped ? { ...converted, metadata: { ...metadata, namespace } } : converted;
    shown = placed;
    if (!ignoreRules) preparedResource(placed);
    return placed;
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    throw refusal(`${fieldErrorText(error, shown).trimEnd()} (${where(error.path)})`);
  }
}
