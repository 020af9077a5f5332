/**
 * Files of resources: YAML or JSON, several documents, lists, directories, standard input (calicoctl.md 4.3). Everything
 * is read and known to be of a kind before anything is written; a field nobody knows refuses the whole command, because a
 * misspelt one would silently mean nothing.
 */

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Document, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import { describeError } from "../../../base/errors.ts";
import type { RoleIo } from "../../../base/role.ts";
import { parseJson } from "../../../model/json.ts";
import { type Kind, kinds } from "../../../model/kinds.ts";
import { apiVersion } from "../../../model/resource.ts";
import { CommandFailure } from "../command.ts";

export type Fields = Readonly<Record<string, unknown>>;

export interface InputResource {
  readonly kind: Kind;
  readonly document: Fields & { readonly metadata: Fields };
  /** "FILE, document 2, line 14" of the field, as far as it is there. */
  readonly where: (path: string) => string;
}

export interface InputOptions {
  /** A file, a directory, or "-". */
  readonly source: string;
  readonly recursive: boolean;
}

const documentBytesMax = 10 * 1024 * 1024;
const topFields: ReadonlySet<string> = new Set(["kind", "apiVersion", "metadata", "spec", "status"]);
const metadataTexts: ReadonlySet<string> = new Set(["name", "namespace", "uid", "resourceVersion", "selfLink"]);
const metadataFields: ReadonlySet<string> = new Set([
  ...metadataTexts,
  ..."generateName generation creationTimestamp deletionTimestamp deletionGracePeriodSeconds labels annotations".split(
    " ",
  ),
  ..."ownerReferences finalizers managedFields".split(" "),
]);

/** One object of a text, of whatever kind and version. */
export interface InputDocument {
  readonly document: Fields;
  readonly where: (path: string) => string;
}

/** @throws CommandFailure with what is wrong and where */
export async function readInput(options: InputOptions, io: RoleIo): Promise<readonly InputResource[]> {
  return (await readDocuments(options, io)).map(inputResource);
}

/** @throws CommandFailure with what is wrong and where */
export async function readDocuments(
  { source, recursive }: InputOptions,
  io: RoleIo,
): Promise<readonly InputDocument[]> {
  if (source === "-") return documentsOf(await io.stdin(), "-");
  const found: InputDocument[] = [];
  for (const file of await filesOf(source, recursive)) {
    const text = await readFile(file, "utf8").catch((error: unknown) => refuseFile(file, error));
    found.push(...documentsOf(text, file));
  }
  return found;
}

export async function isDirectory(source: string): Promise<boolean> {
  return source !== "-" && (await stat(source).catch(() => undefined))?.isDirectory() === true;
}

async function filesOf(source: string, recursive: boolean): Promise<readonly string[]> {
  if (!(await isDirectory(source))) return [source];
  const entries = await readdir(source, { recursive, withFileTypes: true }).catch((error: unknown) =>
    refuseFile(source, error),
  );
  return entries
    .filter((entry) => !entry.isDirectory() && /\.(ya?ml|json)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function refuseFile(file: string, error: unknown): never {
  const { code } = error as { code?: string };
  throw refusal(`open ${file}: ${code === "ENOENT" ? "no such file or directory" : describeError(error)}`);
}

export function refusal(problem: string): CommandFailure {
  return new CommandFailure("stderr", `failed to execute command: ${problem}\n`);
}

function documentsOf(text: string, file: string): readonly InputDocument[] {
  if (text.length > documentBytesMax) throw refusal(`${file} is longer than ${documentBytesMax} bytes`);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const found: InputDocument[] = [];
  if ("empty" in documents) return found;
  for (const [at, document] of documents.entries()) {
    const place = `${file}, document ${at + 1}`;
    const [error] = document.errors;
    if (error !== undefined) {
      const json = documents.length === 1 ? asJson(text) : undefined;
      if (json === undefined) {
        throw refusal(`${firstLine(error.message)} (${place}, line ${lines.linePos(error.pos[0]).line})`);
      }
      found.push(...itemsOf(json, place, () => place));
      continue;
    }
    if (document.contents === null) continue;
    found.push(
      ...itemsOf(contentOf(document, place), place, (path) => `${place}, line ${lineOf(document, path, lines)}`),
    );
  }
  return found;
}

/** JSON that is no YAML: indented by tabs. */
function asJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function contentOf(document: Document.Parsed, place: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    throw refusal(`${describeError(error)} (${place})`);
  }
}

const firstLine = (text: string) => text.split("\n")[0] ?? "";

/** One object, an array of objects, or a list of a kind. @throws CommandFailure */
function itemsOf(value: unknown, place: string, where: (path: string) => string): readonly InputDocument[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) {
    return value.flatMap((one: unknown, at) => itemsOf(one, place, (path) => where(`[${at}].${path}`)));
  }
  if (!isFields(value)) throw refusal(`a document must be an object (${place})`);
  const { kind, items } = value;
  if (typeof kind !== "string" || !kind.endsWith("List") || items === undefined) return [{ document: value, where }];
  if (!Array.isArray(items)) throw refusal(`items of a list must be an array (${where("items")})`);
  const ofList = kind === "List" ? {} : { kind: kind.slice(0, -"List".length), apiVersion: value.apiVersion };
  return items.map((one: unknown, at) => {
    if (!isFields(one)) throw refusal(`an item of a list must be an object (${where(`items[${at}]`)})`);
    return { document: { ...ofList, ...one }, where: (path) => where(`items[${at}].${path}`) };
  });
}

/** @throws CommandFailure for what is no resource of today, or has a field nobody knows */
export function inputResource({ document, where }: InputDocument): InputResource {
  const { kind, apiVersion: version, metadata = {} } = document;
  const known = kinds.find((one) => one === kind);
  if (known === undefined || version !== apiVersion) {
    throw refusal(
      `unknown resource type (${String(kind ?? "")}) and/or version (${String(version ?? "")}) (${where("kind")})`,
    );
  }
  const given = metadata ?? {};
  if (!isFields(given)) throw refusal(`metadata must be an object (${where("metadata")})`);
  const unknown = [
    ...Object.keys(document).filter((name) => !topFields.has(name)),
    ...Object.keys(given).flatMap((name) => (metadataFields.has(name) ? [] : [`metadata.${name}`])),
  ];
  for (const path of unknown) throw unknownField(path, where);
  for (const name of metadataTexts) {
    const value = given[name];
    if (value === undefined || value === null || typeof value === "string") continue;
    throw refusal(`metadata.${name} must be a string: put it in quotes (${where(`metadata.${name}`)})`);
  }
  const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
  return { kind: known, document: { ...document, metadata: kept }, where };
}

export function unknownField(path: string, where: (path: string) => string): CommandFailure {
  return refusal(`field in document is not recognized or is in the wrong location: ${path} (${where(path)})`);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Follows the path while the document has it; names of Go's fields differ in the case of letters. */
function lineOf(document: Document.Parsed, path: string, lines: LineCounter): number {
  let at: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const step of path.split(/[.[\]]+/)) {
    if (step === "") continue;
    if (isSeq(at)) at = at.items[Number(step)];
    else if (isMap(at)) {
      const pair = at.items.find(({ key }) => isScalar(key) && String(key.value).toLowerCase() === step.toLowerCase());
      if (pair === undefined) break;
      offset = (pair.key as { range?: readonly number[] }).range?.[0] ?? offset;
      at = pair.value;
      continue;
    } else break;
    offset = (at as { range?: readonly number[] } | undefined)?.range?.[0] ?? offset;
  }
  return lines.linePos(offset).line;
}
