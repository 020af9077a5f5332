/**
 * FelixConfiguration: what an administrator sets for the hosts' agents (calico-datastore.md 2.11). The object `default`
 * is for all hosts, `node.<host>` for one, any other with a nodeSelector for those it selects; the nearer wins, field
 * by field.
 */

import { z } from "zod";
import { FelixConfigurationSpec, felixFieldNames, felixSchemas } from "./felix-fields.ts";
import { readRawParameters } from "./felix-parameters.ts";
import { decode, resourceSchema } from "./resource.ts";

/** Strict: what a client accepts. */
export const FelixConfiguration = z.looseObject({
  ...resourceSchema("FelixConfiguration", FelixConfigurationSpec).shape,
  spec: z.preprocess((value) => value ?? {}, FelixConfigurationSpec),
});
export type FelixConfiguration = z.infer<typeof FelixConfiguration>;

const AnySpec = z.looseObject({});
const Envelope = z.looseObject({
  ...resourceSchema("FelixConfiguration", AnySpec).shape,
  spec: z.preprocess((value) => value ?? {}, AnySpec),
});

export interface ReadFelixConfiguration {
  readonly createdAt: string;
  readonly spec: FelixConfigurationSpec;
  /** Fields that are left out because they are wrong: their built-in value counts. */
  readonly problems: readonly string[];
}

/** As an agent reads it: field by field, a wrong one counts as not given. @throws BadInput for no such object at all */
export function readFelixConfiguration(value: string, path = ""): ReadFelixConfiguration {
  const { metadata, spec } = decode(Envelope, value, path);
  const read: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const field of felixFieldNames) {
    const result = felixSchemas[field].safeParse(spec[field]);
    if (!result.success) problems.push(`spec.${field}: ${result.error.issues[0]?.message ?? "is not valid"}`);
    else if (result.data !== undefined) read[field] = result.data;
  }
  const annotated = readRawParameters(annotatedParameters(metadata.annotations ?? {}));
  Object.assign(read, annotated.spec);
  problems.push(...annotated.problems, ...annotated.fatal);
  return { createdAt: metadata.creationTimestamp ?? "", spec: FelixConfigurationSpec.parse(read), problems };
}

const annotationPrefix = "config.projectcalico.org/";

/** `config.projectcalico.org/<Parameter>: <raw text>` sets what the object has no field for, or has one. */
function annotatedParameters(annotations: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const ours = Object.entries(annotations).filter(([key]) => key.startsWith(annotationPrefix));
  return new Map(ours.map(([key, text]) => [key.slice(annotationPrefix.length), text]));
}

/** What every write of this kind fills in (floating addresses and BPF, which agents of other makes heed). */
export function withWriteDefaults(spec: FelixConfigurationSpec): FelixConfigurationSpec {
  const legacy = spec.bpfConnectTimeLoadBalancingEnabled;
  const balancing =
    legacy === undefined
      ? {
          bpfConnectTimeLoadBalancing: spec.bpfConnectTimeLoadBalancing ?? ("TCP" as const),
          bpfHostNetworkedNATWithoutCTLB: spec.bpfHostNetworkedNATWithoutCTLB ?? ("Enabled" as const),
        }
      : {
          bpfConnectTimeLoadBalancing: legacy ? ("Enabled" as const) : ("Disabled" as const),
          bpfHostNetworkedNATWithoutCTLB: "Disabled" as const,
        };
  return {
    ...spec,
    nftablesMode: spec.nftablesMode ?? "Auto",
    floatingIPs: spec.floatingIPs ?? "Disabled",
    bpfLogLevel: spec.bpfLogLevel ?? "",
    ...balancing,
  };
}
