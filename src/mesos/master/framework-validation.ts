/** Whether a FrameworkInfo may subscribe: what Mesos answers with an ERROR event (reference: mesos-api 2.2 SUBSCRIBE). Pure. */

import { type FrameworkInfo, frameworkRoles, hasCapability } from "../protocol/framework-info.ts";
import type { Subscribe } from "../protocol/scheduler-call.ts";
import { idProblem, roleProblem } from "./id-rules.ts";
import { constraintsProblem } from "./offer-constraints.ts";

/** Durations are counted in nanoseconds in 64 bits: some 292 years. */
const failoverTimeoutMaxSeconds = 9_223_372_036;

export interface FrameworkRules {
  /** Undefined: every role. */
  readonly rolesAllowed: ReadonlySet<string> | undefined;
  readonly rootSubmissions: boolean;
}

export function subscribeProblem(subscribe: Subscribe, rules: FrameworkRules): string | undefined {
  const info = subscribe.framework_info;
  const roles = frameworkRoles(info);
  return (
    rolesProblem(info) ??
    frameworkIdProblem(info) ??
    failoverProblem(info) ??
    offerFiltersProblem(info) ??
    whitelistProblem(roles, rules) ??
    (info.user === "root" && !rules.rootSubmissions ? "User 'root' is not allowed to run frameworks" : undefined) ??
    suppressedProblem(subscribe, roles) ??
    constraintsProblem(subscribe.offer_constraints, roles)
  );
}

function rolesProblem(info: FrameworkInfo): string | undefined {
  if (hasCapability(info, "MULTI_ROLE")) {
    if (info.role !== undefined) return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable";
    const roles = info.roles ?? [];
    const duplicate = roles.find((role, index) => roles.indexOf(role) !== index);
    if (duplicate !== undefined) return `'FrameworkInfo.roles' contains duplicate items: ${duplicate}`;
  } else if ((info.roles ?? []).length > 0) {
    return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable";
  }
  for (const role of frameworkRoles(info)) {
    const problem = roleProblem(role);
    if (problem !== undefined) return `'FrameworkInfo.roles' contains invalid role: ${problem}`;
  }
  return undefined;
}

function frameworkIdProblem(info: FrameworkInfo): string | undefined {
  const id = info.id?.value ?? "";
  const problem = id === "" ? undefined : idProblem(id);
  return problem === undefined ? undefined : `Framework ID is invalid: ${problem}`;
}

function failoverProblem(info: FrameworkInfo): string | undefined {
  const seconds = info.failover_timeout ?? 0;
  return seconds >= 0 && seconds <= failoverTimeoutMaxSeconds
    ? undefined
    : `The framework failover_timeout (${seconds}) is invalid: not a duration`;
}

function offerFiltersProblem(info: FrameworkInfo): string | undefined {
  const roles = frameworkRoles(info);
  for (const [role, filters] of Object.entries(info.offer_filters ?? {})) {
    if (!roles.includes(role))
      return `Offer filters are given for the role '${role}' to which the framework is not subscribed`;
    for (const { quantities } of filters.min_allocatable_resources?.quantities ?? []) {
      if (quantities === undefined || Object.keys(quantities).length === 0) {
        return `Invalid offer filters for role '${role}': empty resource quantities`;
      }
      for (const [name, { value }] of Object.entries(quantities)) {
        if (!(value >= 0 && Number.isFinite(value)))
          return `Invalid offer filters for role '${role}': ${name} is ${value}`;
      }
    }
  }
  return undefined;
}

function whitelistProblem(roles: readonly string[], rules: FrameworkRules): string | undefined {
  const refused = roles.find((role) => rules.rolesAllowed !== undefined && !rules.rolesAllowed.has(role));
  return refused === undefined ? undefined : `Role '${refused}' is not present in the master's --roles`;
}

function suppressedProblem(subscribe: Subscribe, roles: readonly string[]): string | undefined {
  const foreign = (subscribe.suppressed_roles ?? []).find((role) => !roles.includes(role));
  return foreign === undefined ? undefined : `Suppressed role '${foreign}' is not contained in the list of roles`;
}
