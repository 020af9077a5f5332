/**
 * What a client does with a resource before it is written: every rule of its kind, in upstream's words, then the defaults
 * that writers fill in (calico-datastore.md 2, 3.4, 8). What a store already holds is read without this.
 * Absent on purpose: checks that need other objects (a policy's tier, overlapping pools): checkIpPoolOverlap() and whoever
 * has the store do these.
 */

import { z } from "zod";
import { tryParseCidr, tryParseIpAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import {
  BgpConfiguration,
  BgpFilter,
  BgpPeer,
  checkBgpConfiguration,
  checkBgpFilter,
  checkBgpPeer,
} from "./bgp-resources.ts";
import { ClusterInformation } from "./cluster-information.ts";
import { dscpAnnotation, dscpExpected, parseDscp } from "./dscp.ts";
import { checkEndpointPort } from "./endpoint-port.ts";
import { FelixConfiguration, withWriteDefaults } from "./felix-configuration.ts";
import { goFieldName } from "./go-field-name.ts";
import { IpPool } from "./ip-pool.ts";
import { checkIpPool, withPoolDefaults } from "./ip-pool-check.ts";
import { isNamespaced, type Kind } from "./kinds.ts";
import { KubeControllersConfiguration, StagedKubernetesNetworkPolicy, withStagedDefaults } from "./kubernetes-kinds.ts";
import { checkHostEndpoint, GlobalNetworkSet, HostEndpoint, IpReservation, NetworkSet } from "./label-owners.ts";
import { checkLabelsAndAnnotations, checkNameOfKind, isLabelKey, isLabelValue } from "./names.ts";
import { checkNode, Node, parseAsNumber } from "./node.ts";
import { checkPolicyFlags, defaultTypes, GlobalNetworkPolicy, NetworkPolicy } from "./policy-resource.ts";
import { Profile } from "./profile.ts";
import { AnyResource, apiVersion, check } from "./resource.ts";
import { checkRule, checkRulePlacement, normalizedRule, type Rule } from "./rule.ts";
import { parseSelector } from "./selector/parse.ts";
import { checkAll, checkFields, problemsOf } from "./several-problems.ts";
import { CalicoNodeStatus, IpamConfiguration } from "./small-kinds.ts";
import { checkStagedAction, StagedGlobalNetworkPolicy, StagedNetworkPolicy } from "./staged-policy.ts";
import { builtInTiers, Tier } from "./tier.ts";
import { tierOf } from "./tiered-policies.ts";
import { unknownFields } from "./unknown-fields.ts";
import { checkWorkloadEndpoint, forcedLabels, namespaceLabel, WorkloadEndpoint } from "./workload-endpoint.ts";
import { workloadEndpointName } from "./workload-endpoint-name.ts";

interface KindCheck {
  readonly schema: z.ZodType;
  /** Refuses and fills in; the document is of the schema. */
  readonly prepare: (document: AnyResource) => AnyResource;
}

/** Ties a schema to what is done with a document of it. */
function kindCheck<Schema extends z.ZodType<AnyResource>>(
  schema: Schema,
  prepare: (document: z.output<Schema>) => AnyResource,
): KindCheck {
  return { schema, prepare: (document) => prepare(check(schema, document)) };
}

const kindChecks: Record<Kind, KindCheck> = {
  BGPConfiguration: kindCheck(BgpConfiguration, (document) => {
    checkBgpConfiguration(document);
    const { logSeverityScreen = "Info", serviceLoadBalancerAggregation = "Enabled", asNumber } = document.spec;
    const number = asNumber === undefined ? undefined : parseAsNumber(asNumber);
    const defaults = { logSeverityScreen, serviceLoadBalancerAggregation };
    return withSpec(document, { ...document.spec, ...defaults, ...(number === undefined ? {} : { asNumber: number }) });
  }),
  BGPFilter: kindCheck(BgpFilter, (document) => {
    checkBgpFilter(document);
    return document;
  }),
  BGPPeer: kindCheck(BgpPeer, (document) => {
    checkBgpPeer(document);
    return document;
  }),
  CalicoNodeStatus: kindCheck(CalicoNodeStatus, (document) => document),
  ClusterInformation: kindCheck(ClusterInformation, (document) => document),
  FelixConfiguration: kindCheck(FelixConfiguration, (document) => withSpec(document, withWriteDefaults(document.spec))),
  GlobalNetworkPolicy: kindCheck(GlobalNetworkPolicy, (document) => preparedPolicy(document)),
  GlobalNetworkSet: kindCheck(GlobalNetworkSet, (document) => {
    checkNetworkSet(document);
    return document;
  }),
  HostEndpoint: kindCheck(HostEndpoint, (document) => {
    checkHostEndpoint(document);
    checkEach(document.spec.expectedIPs, "spec.expectedIPs", tryParseIpAddress, "is not an address");
    const name = document.spec.interfaceName;
    if (name && name !== "*" && !/^[a-zA-Z0-9_.-]{1,15}$/.test(name)) {
      throw new BadInput(
        "spec.interfaceName",
        "Reason: failed to validate Field: InterfaceName because of Tag: interface",
        "a name or *",
      );
    }
    for (const [at, port] of (document.spec.ports ?? []).entries()) checkEndpointPort(port, `spec.ports[${at}]`);
    const dscp = document.metadata.annotations?.[dscpAnnotation];
    if (dscp !== undefined && parseDscp(dscp) === undefined)
      throw new BadInput(`metadata.annotations.${dscpAnnotation}`, `"${dscp}" is no DSCP value`, dscpExpected);
    return document;
  }),
  IPAMConfiguration: kindCheck(IpamConfiguration, (document) => document),
  IPPool: kindCheck(IpPool, (document) => {
    checkIpPool(document);
    return withPoolDefaults(document);
  }),
  IPReservation: kindCheck(IpReservation, (document) => {
    checkEach(document.spec.reservedCIDRs, "spec.reservedCIDRs", tryParseCidr, "is not an address or CIDR");
    return document;
  }),
  KubeControllersConfiguration: kindCheck(KubeControllersConfiguration, (document) => document),
  NetworkPolicy: kindCheck(NetworkPolicy, (document) => preparedPolicy(document)),
  NetworkSet: kindCheck(NetworkSet, (document) => {
    checkNetworkSet(document);
    return document;
  }),
  Node: kindCheck(Node, (document) => {
    checkNode(document);
    const { bgp } = document.spec;
    const asNumber = bgp?.asNumber === undefined ? undefined : parseAsNumber(bgp.asNumber);
    return asNumber === undefined ? document : withSpec(document, { ...document.spec, bgp: { ...bgp, asNumber } });
  }),
  Profile: kindCheck(Profile, (document) => {
    const labels = Object.entries(document.spec.labelsToApply ?? {}).map(([key, value]) => () => {
      if (isLabelKey(key) && isLabelValue(value)) return;
      throw new BadInput("spec.labelsToApply", `invalid label ${key}=${value}`, "a qualified name and a label value");
    });
    checkAll([...labels, () => preparedRules(document.spec)]);
    return withSpec(document, { ...document.spec, ...preparedRules(document.spec) });
  }),
  StagedGlobalNetworkPolicy: kindCheck(StagedGlobalNetworkPolicy, (document) => preparedPolicy(document)),
  StagedKubernetesNetworkPolicy: kindCheck(StagedKubernetesNetworkPolicy, withStagedDefaults),
  StagedNetworkPolicy: kindCheck(StagedNetworkPolicy, (document) => preparedPolicy(document)),
  Tier: kindCheck(Tier, (document) => preparedTier(document)),
  WorkloadEndpoint: kindCheck(WorkloadEndpoint, (document) => {
    checkWorkloadEndpoint(document);
    const { namespace = "default", labels } = document.metadata;
    const forced = forcedLabels(labels, namespace, document.spec.orchestrator);
    return { ...document, metadata: { ...document.metadata, namespace, labels: forced } };
  }),
};

/**
 * A resource as it is to be written, from what a user handed in; the envelope's stamps are the writer's.
 * @throws BadInput naming all that is wrong, unknown fields included.
 */
export function preparedResource(document: unknown): AnyResource {
  const { kind, apiVersion: version } = check(z.looseObject({ kind: z.string(), apiVersion: z.string() }), document);
  const checks = Object.hasOwn(kindChecks, kind) ? kindChecks[kind as Kind] : undefined;
  if (checks === undefined || version !== apiVersion) {
    throw new BadInput("", "unknown resource type (Kind) and/or version (v)", `${apiVersion} and one of its kinds`);
  }
  const resource = check(AnyResource, withEndpointName(document as AnyResource));
  const { metadata } = resource;
  // Of an endpoint what its name is made of is to blame, not the name.
  const nameFollows = kind === "WorkloadEndpoint";
  const unknown = unknownFields(checks.schema, resource).filter((path) => path.startsWith("spec"));
  let prepared = resource;
  checkAll([
    () => nameFollows || checkNameOfKind(kind, metadata.name, "Metadata.Name"),
    () => {
      if (!isNamespaced(kind as Kind) || metadata.namespace) return;
      throw new BadInput("Metadata.Namespace", "namespace is not specified on namespaced resource", "a namespace");
    },
    () => checkLabelsAndAnnotations(metadata.labels ?? {}, metadata.annotations ?? {}),
    ...unknown.map((path) => () => {
      throw new BadInput(path, "unknown field", "a field of the kind");
    }),
    () => {
      checkFields(checks.schema, resource);
      prepared = checks.prepare(resource);
    },
  ]);
  if (nameFollows) checkNameOfKind(kind, metadata.name, "Metadata.Name");
  return prepared;
}

/** `error with field Name = 'x' (why)`, as a client says what a BadInput of preparedResource() says; several as a list. */
export function fieldErrorText(error: BadInput, document: unknown): string {
  const texts = problemsOf(error).map((one) => `${fieldAndValue(one.path, document)} (${one.problem})`);
  if (texts.length === 1) return `error with field ${texts.join()}`;
  return `error with the following fields:\n${texts.map((text) => `-  ${text}\n`).join("")}`;
}

function fieldAndValue(path: string, document: unknown): string {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== "");
  const value = steps.reduce<unknown>(
    (at, step) => (typeof at === "object" && at !== null ? (at as Record<string, unknown>)[step] : undefined),
    document,
  );
  const shown = typeof value === "string" || typeof value === "number" ? ` = '${value}'` : "";
  return `${goFieldName(path) || "resource"}${shown}`;
}

/** The name of an endpoint follows from what it is: filled in when missing, refused when another. */
function withEndpointName(document: AnyResource): AnyResource {
  if (document.kind !== "WorkloadEndpoint") return document;
  const { metadata, spec } = check(z.looseObject({ metadata: z.looseObject({}), spec: z.looseObject({}) }), document);
  const text = (field: string) => (typeof spec[field] === "string" ? spec[field] : "");
  const expected = workloadEndpointName({
    node: text("node"),
    orchestrator: text("orchestrator"),
    endpoint: text("endpoint"),
    workload: text("workload"),
    containerID: text("containerID"),
    pod: text("pod"),
  });
  const { name } = metadata;
  if (name !== undefined && name !== "" && name !== expected) {
    const problem = `the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name ${expected}`;
    throw new BadInput("metadata.name", problem, expected);
  }
  return { ...document, metadata: { ...document.metadata, name: expected } };
}

type PolicyDocument =
  | z.infer<typeof GlobalNetworkPolicy>
  | z.infer<typeof NetworkPolicy>
  | z.infer<typeof StagedGlobalNetworkPolicy>
  | z.infer<typeof StagedNetworkPolicy>;

function preparedPolicy(document: PolicyDocument): AnyResource {
  const spec = document.spec as z.infer<typeof StagedGlobalNetworkPolicy>["spec"];
  const isStaged = document.kind === "StagedGlobalNetworkPolicy" || document.kind === "StagedNetworkPolicy";
  const tier = tierOf(spec);
  checkNameOfKind("Tier", tier, "spec.tier");
  if (isStaged) checkStagedAction(spec);
  if (document.metadata.namespace !== undefined && isNamespaced(document.kind)) {
    const misplaced = ["doNotTrack", "preDNAT", "applyOnForward", "namespaceSelector"].find((field) => spec[field]);
    if (misplaced !== undefined) throw new BadInput(`spec.${misplaced}`, "unknown field", "a field of the kind");
  }
  const selectors = ["selector", "namespaceSelector", "serviceAccountSelector"] as const;
  checkAll([
    () => checkPolicyFlags(spec),
    ...selectors.map((field) => () => parseSelector(spec[field] ?? "", `spec.${field}`, { global: "refuse" })),
    () => preparedRules(spec),
  ]);
  const hints = spec.performanceHints ?? [];
  if (new Set(hints).size !== hints.length || hints.some((hint) => hint !== "AssumeNeededOnEveryNode")) {
    throw new BadInput("spec.performanceHints", "is not a list of different hints", "AssumeNeededOnEveryNode");
  }
  const rules = preparedRules(spec);
  const action = spec.stagedAction ?? "Set";
  const types = isStaged && action === "Delete" ? [] : (spec.types ?? []).length > 0 ? spec.types : defaultTypes(rules);
  return withSpec(document, { ...(isStaged ? { stagedAction: action } : {}), ...spec, tier, ...rules, types });
}

function preparedRules(spec: { ingress?: Rule[] | undefined; egress?: Rule[] | undefined }): {
  ingress?: Rule[];
  egress?: Rule[];
} {
  const pathOf = (direction: string, at: number) => `spec.${direction}[${at}]`;
  const checks = (["ingress", "egress"] as const).flatMap((direction) =>
    (spec[direction] ?? []).map((rule, at) => () => {
      checkRule(rule, pathOf(direction, at));
      checkRulePlacement(rule, direction, pathOf(direction, at));
    }),
  );
  checkAll(checks);
  const prepare = (direction: "ingress" | "egress") =>
    spec[direction]?.map((rule, at) => normalizedRule(rule, pathOf(direction, at)));
  const [ingress, egress] = [prepare("ingress"), prepare("egress")];
  return { ...(ingress === undefined ? {} : { ingress }), ...(egress === undefined ? {} : { egress }) };
}

function preparedTier(document: z.infer<typeof Tier>): AnyResource {
  const { order = 1_000_000, defaultAction = "Deny" } = document.spec;
  if (defaultAction !== "Deny" && defaultAction !== "Pass") {
    throw new BadInput("spec.defaultAction", `"${defaultAction}" is not an action of a tier`, "Deny or Pass");
  }
  const builtIn = builtInTiers.find(({ name }) => name === document.metadata.name);
  if (builtIn !== undefined && (order !== builtIn.order || defaultAction !== builtIn.defaultAction)) {
    const problem = `order and action of tier ${builtIn.name} are fixed`;
    throw new BadInput("spec", problem, `order ${builtIn.order}, defaultAction ${builtIn.defaultAction}`);
  }
  return withSpec(document, { ...document.spec, order, defaultAction });
}

function checkNetworkSet({ metadata, spec }: z.infer<typeof GlobalNetworkSet> | z.infer<typeof NetworkSet>): void {
  if (metadata.labels?.[namespaceLabel] !== undefined) {
    throw new BadInput("metadata.labels", `${namespaceLabel} is not a valid label name`, "another label");
  }
  checkEach(spec.nets, "spec.nets", tryParseCidr, "is not an address or CIDR");
}

/** @throws BadInput for every text that cannot be read */
function checkEach(
  given: readonly string[] | undefined,
  path: string,
  parse: (text: string) => unknown,
  problem: string,
): void {
  checkAll(
    (given ?? []).map((text, at) => () => {
      if (parse(text) === undefined) throw new BadInput(`${path}[${at}]`, `"${text}" ${problem}`, "another text");
    }),
  );
}

function withSpec(document: AnyResource, spec: Record<string, unknown>): AnyResource {
  return { ...document, spec };
}
