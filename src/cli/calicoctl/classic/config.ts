/**
 * `calicoctl config felix|bgp|node bgp NAME [VALUE]` (calicoctl.md 3.7). Names and values of the classic releases stand
 * for fields of FelixConfiguration and BGPConfiguration; what has no field there is kept as an annotation and told back.
 */

import { BgpConfiguration } from "../../../model/bgp-resources.ts";
import { FelixConfiguration } from "../../../model/felix-configuration.ts";
import { resourceKey } from "../../../model/keys.ts";
import { isLabelKey } from "../../../model/names.ts";
import { type AnyResource, apiVersion, decode, newMetadata } from "../../../model/resource.ts";
import { type CalicoctlContext, type Command, CommandFailure, paragraph } from "../command.ts";
import { storeToWrite } from "./classic-store.ts";
import { changeResource, readResource, type StoredAt } from "./stored-resource.ts";
import { commandOfForms, type Form, type Typed } from "./usage-forms.ts";

const configUsage = `Usage:
  calicoctl config felix <NAME> [<VALUE> | --remove] [--force]
  calicoctl config bgp <NAME> [<VALUE> | --remove] [--force]
  calicoctl config node bgp <NAME> [<VALUE> | --remove] [--force]
`;

export const configHelp = `Shows and changes settings of all hosts, or with "node" of this one.

${configUsage}
Names and values:
  felix loglevel             none, debug, info, warning, error, critical
  bgp, node bgp loglevel     none, debug, info

Options:
  --remove   back to the default
  --force    accept other names and values

Examples:
  calicoctl config felix loglevel debug
  calicoctl config node bgp loglevel
  calicoctl config bgp loglevel --remove
`;

type Scope = "felix" | "bgp" | "node bgp";

const options = ["--remove", "--force"];

function formsOf(scope: Scope): readonly Form[] {
  return [
    { words: `${scope} NAME`, options, run: (context, typed) => showOrRemove(context, scope, typed) },
    { words: `${scope} NAME VALUE`, options: ["--force"], run: (context, typed) => set(context, scope, typed) },
  ];
}

export const config: Command = commandOfForms(configUsage, [
  ...formsOf("felix"),
  ...formsOf("bgp"),
  ...formsOf("node bgp"),
]);

/** In v3's words; "" has none. */
const felixLevels: Readonly<Record<string, string>> = {
  none: "",
  debug: "Debug",
  info: "Info",
  warning: "Warning",
  error: "Error",
  critical: "Fatal",
};
const bgpLevels: Readonly<Record<string, string>> = { none: "", debug: "Debug", info: "Info" };
const levelsOf = (scope: Scope) => (scope === "felix" ? felixLevels : bgpLevels);

type Configuration = AnyResource & { readonly spec: Readonly<Record<string, unknown>> };

function placeOf({ host }: CalicoctlContext, scope: Scope): StoredAt<Configuration> & { readonly name: string } {
  const kind = scope === "felix" ? "FelixConfiguration" : "BGPConfiguration";
  const name = scope === "node bgp" ? `node.${host.name}` : "default";
  const schema = scope === "felix" ? FelixConfiguration : BgpConfiguration;
  return { name, key: resourceKey({ kind, name }), decode: (text, key) => decode(schema, text, key) as Configuration };
}

async function showOrRemove(context: CalicoctlContext, scope: Scope, typed: Typed): Promise<number> {
  const { io } = context;
  const name = checkName(context, typed);
  const place = placeOf(context, scope);
  const store = await context.store();
  const value = configuredValue(await readResource(store, place), scope, name);
  if (value === undefined) io.stdout("No value configured\n");
  else if (!typed.has("--remove")) io.stdout(`${value}\n`);
  else {
    await changeResource<Configuration>(store, place, (stored) => stored && without(stored, name));
    io.stdout("Value removed\n");
  }
  return 0;
}

async function set(context: CalicoctlContext, scope: Scope, typed: Typed): Promise<number> {
  const name = checkName(context, typed);
  const value = typed.word("VALUE");
  const known = name === "loglevel" && Object.hasOwn(levelsOf(scope), value);
  if (name === "loglevel" && !known) {
    overrule(context, typed, `The configuration value '${value}' is not recognized as a valid value.`);
  }
  const field = known ? levelsOf(scope)[value] : "";
  const place = placeOf(context, scope);
  const { clock } = context;
  await changeResource<Configuration>(await storeToWrite(context), place, (stored) => {
    const kind = scope === "felix" ? "FelixConfiguration" : "BGPConfiguration";
    const metadata = newMetadata(place.name, { uid: clock.uuid(), nowMs: clock.nowMs() });
    const clean = without(stored ?? { kind, apiVersion, metadata, spec: {} }, name);
    if (field) return { ...clean, spec: { ...clean.spec, logSeverityScreen: field } };
    const annotations = { ...clean.metadata.annotations, [annotationOf(name)]: value };
    return { ...clean, metadata: { ...clean.metadata, annotations } };
  });
  return 0;
}

function configuredValue(stored: Configuration | undefined, scope: Scope, name: string): string | undefined {
  const kept = stored?.metadata.annotations?.[annotationOf(name)];
  if (kept !== undefined || name !== "loglevel") return kept;
  const level = stored?.spec.logSeverityScreen;
  if (typeof level !== "string" || level === "") return undefined;
  return Object.entries(levelsOf(scope)).find(([, field]) => field === level)?.[0] ?? level.toLowerCase();
}

function without(stored: Configuration, name: string): Configuration {
  const { [annotationOf(name)]: _value, ...annotations } = stored.metadata.annotations ?? {};
  const { logSeverityScreen, ...spec } = stored.spec;
  return {
    ...stored,
    metadata: { ...stored.metadata, annotations },
    spec: name === "loglevel" || logSeverityScreen === undefined ? spec : stored.spec,
  };
}

function annotationOf(name: string): string {
  return `margay.io/classic-config.${name}`;
}

/** @throws CommandFailure for a name nobody knows, unless --force is given */
function checkName(context: CalicoctlContext, typed: Typed): string {
  const name = typed.word("NAME");
  if (!isLabelKey(annotationOf(name))) {
    const problem = "Names can only contain letters, digits, dashes, dots and underscores.";
    throw new CommandFailure("stdout", paragraph(problem));
  }
  if (name !== "loglevel") overrule(context, typed, `The configuration '${name}' is not recognized as a valid option.`);
  return name;
}

function overrule({ io }: CalicoctlContext, typed: Typed, problem: string): void {
  if (!typed.has("--force")) {
    throw new CommandFailure("stdout", paragraph(problem) + paragraph("Use the --force option to override."));
  }
  io.stdout(paragraph(problem) + paragraph("The --force option is set."));
}
