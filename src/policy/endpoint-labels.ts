/** The labels that selectors see of endpoints and of other owners of labels: some are forced, some nobody can give himself. */

import { forcedLabels, namespaceLabel, orchestratorLabel, serviceAccountLabel } from "../model/workload-endpoint.ts";

type LabelMap = Readonly<Record<string, string>>;

interface Identity {
  readonly namespace: string | undefined;
  readonly orchestrator: string;
  readonly account: string | undefined;
}

export function endpointLabels(labels: LabelMap | undefined, { namespace, orchestrator, account }: Identity): LabelMap {
  const forced = withForced(labels, namespace ?? "default", orchestrator);
  return unforgeable(account ? { ...forced, [serviceAccountLabel]: account } : forced);
}

/** Whoever writes endpoints stores the forced ones along, and then nothing has to be copied. */
function withForced(labels: LabelMap | undefined, namespace: string, orchestrator: string): LabelMap {
  const stored = labels?.[namespaceLabel] === namespace && labels[orchestratorLabel] === orchestrator;
  return stored ? labels : forcedLabels(labels, namespace, orchestrator);
}

/** Labels with these prefixes come from profiles of namespaces and service accounts only. */
export function unforgeable(labels: LabelMap): LabelMap {
  for (const label in labels) {
    if (isForced(label)) return Object.fromEntries(Object.entries(labels).filter(([other]) => !isForced(other)));
  }
  return labels;
}

function isForced(label: string): boolean {
  return label.startsWith("pcns.") || label.startsWith("pcsa.");
}
