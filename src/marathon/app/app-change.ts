/**
 * From a document to the app that shall be: create, replace, partial update, go back to a version, restart. Pure; throws a
 * Refusal for what cannot be. Whether anything else stands in the way (locks, existence) is decided by the caller.
 */

import { notValid, Problems, Refusal, unprocessable } from "../refusal.ts";
import { type App, type AppSpec, isUpgrade } from "./app.ts";
import { type AppId, parseAppId, segmentsOf, type Timestamp } from "./app-id.ts";
import type { AppDocument, AppInput } from "./app-input.ts";
import { completeApp } from "./completion.ts";
import { type MigrationOptions, migrateApp } from "./migration.ts";
import { assignServicePorts, type PortRange } from "./service-ports.ts";
import { validateApp } from "./validation.ts";

export interface AppRules extends MigrationOptions {
  readonly defaultRole: string;
  readonly roles: readonly string[];
  readonly servicePorts: PortRange;
}

export interface ChangeContext {
  readonly rules: AppRules;
  /** Service ports of all other apps. */
  readonly usedServicePorts: ReadonlySet<number>;
  /** Networks that exist, if that can be known; a Docker app must not name another. */
  readonly knownNetworks?: ReadonlySet<string> | undefined;
  /** Prefix of problem paths in a list of apps, e.g. `(0)`. */
  readonly path?: string;
}

const builtInNetworks = new Set(["host", "bridge", "none", "default", "user"]);

/** @param base the app to change, in a partial update; `undefined` for a new or wholly replaced one. */
export function specFrom(
  id: AppId,
  document: AppDocument,
  base: App | undefined,
  previous: App | undefined,
  context: ChangeContext,
): AppSpec {
  const problems = new Problems();
  const { rules } = context;
  const stored = base === undefined ? undefined : inputOf(base);
  const migrated = migrateApp(document.input, stored, rules, problems);
  const input = stored === undefined ? migrated : merge(stored, migrated, document.cleared);
  for (const [index, text] of (document.input.dependencies ?? []).entries()) {
    const parsed = parseAppId(text, segmentsOf(id));
    if (!parsed.ok) problems.add(`/dependencies(${index})`, parsed.error);
    else if (parsed.id === id) problems.add("/", "Dependency graph has cyclic dependencies.");
  }
  const spec = completeApp(id, input, rules.defaultRole);
  validateApp(spec, { ...input, unsupported: document.input.unsupported }, rules, problems);
  if (spec.networks[0]?.name !== base?.networks[0]?.name) checkNetworkExists(spec, document, context, problems);
  if (!problems.empty) throw notValid(prefixed(problems, context.path));
  const assigned = assignServicePorts(spec, previous, context.usedServicePorts, rules.servicePorts);
  if (assigned !== undefined) return assigned;
  throw new Refusal(
    500,
    `All ports in the range [${rules.servicePorts.min}-${rules.servicePorts.max}) are already in use`,
  );
}

function prefixed(problems: Problems, path = "") {
  return problems.list.map((problem) => ({ ...problem, path: path === "" ? problem.path : `${path}${problem.path}` }));
}

function checkNetworkExists(spec: AppSpec, document: AppDocument, context: ChangeContext, problems: Problems): void {
  const network = spec.networks[0];
  const { knownNetworks } = context;
  if (knownNetworks === undefined || network?.mode !== "container" || network.name === undefined) return;
  if (spec.container?.type !== "DOCKER" || knownNetworks.has(network.name) || builtInNetworks.has(network.name)) return;
  const known =
    knownNetworks.size === 0 ? "none exists yet" : `expected one of: ${[...knownNetworks].sort().join(", ")}`;
  problems.add(networkPath(document), `network ${network.name} does not exist on the cluster, ${known}`);
}

/** Networks that the document names, in whichever form; built-in ones of Docker's are not among them. */
export function namedNetworks({ input }: AppDocument): readonly string[] {
  const parameters = input.container?.docker?.parameters ?? [];
  const byParameter = parameters.filter(({ key }) => key === "net" || key === "network").map(({ value }) => value);
  const names = [input.ipAddress?.networkName, ...byParameter, ...(input.networks ?? []).map(({ name }) => name)];
  return names.filter((name) => name !== undefined).filter((name) => !builtInNetworks.has(name));
}

/** Where the user named the network. */
function networkPath({ input }: AppDocument): string {
  if (input.ipAddress?.networkName !== undefined) return "/ipAddress/networkName";
  const parameters = input.container?.docker?.parameters ?? [];
  const index = parameters.findIndex(({ key }) => key === "net" || key === "network");
  return index >= 0 && (input.networks ?? []).length === 0
    ? `/container/docker/parameters(${index})/value`
    : "/networks(0)/name";
}

/** The stored app as if it had just been sent: canonical form needs no migration. */
function inputOf(app: App): AppInput {
  return {
    ...app,
    constraints: app.constraints.map(({ field, operator, value }) => [
      field,
      operator,
      ...(value === undefined ? [] : [value]),
    ]),
  };
}

/** Top-level fields replace whole ones; nothing is merged inside them. */
function merge(base: AppInput, update: AppInput, cleared: ReadonlySet<keyof AppInput>): AppInput {
  const kept = Object.fromEntries(Object.entries(base).filter(([name]) => !cleared.has(name as keyof AppInput)));
  const given = Object.fromEntries(Object.entries(update).filter(([, value]) => value !== undefined));
  const merged: AppInput = { ...kept, ...given };
  const mode = merged.networks?.[0]?.mode ?? "host";
  // Ports belong to a network mode: those of the old mode do not survive its change unless they are given anew.
  if (update.networks === undefined || mode === (base.networks?.[0]?.mode ?? "host")) return merged;
  return {
    ...merged,
    portDefinitions: update.portDefinitions,
    container: update.container ?? (merged.container && { ...merged.container, portMappings: undefined }),
  };
}

export function createdApp(id: AppId, spec: AppSpec, now: Timestamp): App {
  return {
    ...spec,
    id,
    version: now,
    versionInfo: { lastScalingAt: now, lastConfigChangeAt: now },
    replaceBefore: now,
  };
}

/** The same app object if nothing changed. */
export function updatedApp(previous: App, spec: AppSpec, now: Timestamp): App {
  if (isUpgrade(previous, spec)) {
    return {
      ...spec,
      id: previous.id,
      version: now,
      versionInfo: { lastScalingAt: now, lastConfigChangeAt: now },
      replaceBefore: now,
    };
  }
  if (previous.instances === spec.instances) return previous;
  return {
    ...previous,
    instances: spec.instances,
    version: now,
    versionInfo: { ...previous.versionInfo, lastScalingAt: now },
  };
}

export function restartedApp(previous: App, now: Timestamp): App {
  return {
    ...previous,
    version: now,
    versionInfo: { ...previous.versionInfo, lastScalingAt: now },
    replaceBefore: now,
  };
}

/** `{"version": ...}` goes back to that version and may stand only beside `id`. Undefined: the document is no roll-back. */
export function rollbackVersion(document: AppDocument): string | undefined {
  if (document.rollbackTo === undefined) return undefined;
  const others = [...document.given].filter((name) => name !== "version" && name !== "id");
  if (others.length === 0) return document.rollbackTo;
  // What GET printed and the user edited carries its version along: an echo, not a wish, as versionInfo shows.
  if (document.given.has("versionInfo")) return undefined;
  throw unprocessable("The 'version' field may only be combined with the 'id' field.");
}
