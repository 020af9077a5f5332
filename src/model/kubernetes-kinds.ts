/**
 * StagedKubernetesNetworkPolicy and KubeControllersConfiguration: objects that only mean something together with
 * Kubernetes (calico-datastore.md 2.5). Margay keeps them for whoever shares the store, and enforces nothing of them.
 */

import { z } from "zod";
import { tryParseCidr } from "../base/addresses.ts";
import { absentOr, resourceSchema } from "./resource.ts";
import { StagedActions } from "./staged-policy.ts";

const LabelSelector = z.looseObject({
  matchLabels: absentOr(z.record(z.string(), z.string())),
  matchExpressions: absentOr(
    z.array(
      z.looseObject({
        key: z.string(),
        operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
        values: absentOr(z.array(z.string())),
      }),
    ),
  ),
});
const Network = z.string().refine((text) => text.includes("/") && tryParseCidr(text) !== undefined, "is not a CIDR");
const Peer = z.looseObject({
  podSelector: absentOr(LabelSelector),
  namespaceSelector: absentOr(LabelSelector),
  ipBlock: absentOr(z.looseObject({ cidr: Network, except: absentOr(z.array(Network)) })),
});
const Port = z.looseObject({
  protocol: absentOr(z.enum(["TCP", "UDP", "SCTP"])),
  port: absentOr(z.union([z.int().min(1).max(65535), z.string().min(1).max(15)])),
  endPort: absentOr(z.int().min(1).max(65535)),
});

export const StagedKubernetesNetworkPolicy = resourceSchema(
  "StagedKubernetesNetworkPolicy",
  z.preprocess(
    (value) => value ?? {},
    z.looseObject({
      stagedAction: absentOr(z.enum(StagedActions)),
      podSelector: absentOr(LabelSelector),
      ingress: absentOr(z.array(z.looseObject({ from: absentOr(z.array(Peer)), ports: absentOr(z.array(Port)) }))),
      egress: absentOr(z.array(z.looseObject({ to: absentOr(z.array(Peer)), ports: absentOr(z.array(Port)) }))),
      policyTypes: absentOr(z.array(z.enum(["Ingress", "Egress"]))),
    }),
  ),
);
export type StagedKubernetesNetworkPolicy = z.infer<typeof StagedKubernetesNetworkPolicy>;

/** podSelector is always written, as Go's clients do: an empty one selects everything. */
export function withStagedDefaults(document: StagedKubernetesNetworkPolicy): StagedKubernetesNetworkPolicy {
  const { stagedAction = "Set", podSelector = {} } = document.spec;
  return { ...document, spec: { ...document.spec, stagedAction, podSelector } };
}

const Duration = absentOr(z.string().regex(/^((\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0)$/, "is not a duration like 5m"));
const Switch = absentOr(z.enum(["Enabled", "Disabled"]));
const Controller = absentOr(z.looseObject({ reconcilerPeriod: Duration }));
const Port16 = absentOr(z.int().min(0).max(65535));

export const KubeControllersConfiguration = z.looseObject({
  ...resourceSchema(
    "KubeControllersConfiguration",
    z.preprocess(
      (value) => value ?? {},
      z.looseObject({
        logSeverityScreen: absentOr(z.enum(["None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"])),
        healthChecks: Switch,
        etcdV3CompactionPeriod: Duration,
        prometheusMetricsPort: Port16,
        debugProfilePort: Port16,
        controllers: absentOr(
          z.looseObject({
            node: absentOr(
              z.looseObject({
                reconcilerPeriod: Duration,
                syncLabels: Switch,
                leakGracePeriod: Duration,
                hostEndpoint: absentOr(z.looseObject({})),
              }),
            ),
            policy: Controller,
            workloadEndpoint: Controller,
            serviceAccount: Controller,
            namespace: Controller,
            loadBalancer: absentOr(
              z.looseObject({ assignIPs: absentOr(z.enum(["AllServices", "RequestedServicesOnly"])) }),
            ),
          }),
        ),
      }),
    ),
  ).shape,
  status: absentOr(z.looseObject({})),
});
