/** The labels a selector sees of an endpoint or network set, each with where it comes from. */
import { namespaceLabel, orchestratorLabel, serviceAccountLabel } from "../../model/workload-endpoint.ts";
import type { ClusterModel } from "./cluster-model.ts";

export interface LabelOfItem {
  readonly label: string;
  readonly value: string;
  /** "itself", "profile NAME", or "its kind" for the labels nobody can choose. */
  readonly origin: string;
}

const given: ReadonlySet<string> = new Set([namespaceLabel, orchestratorLabel, serviceAccountLabel]);

interface Source {
  readonly labels: Readonly<Record<string, string>>;
  readonly profiles: readonly string[];
}

/** Own labels first; of profiles the first listed that has the label. Profiles that do not exist bring none. */
export function labelsOf(model: ClusterModel, source: Source): readonly LabelOfItem[] {
  const found = new Map<string, LabelOfItem>();
  const put = (label: string, value: string, origin: string) => {
    if (!found.has(label)) found.set(label, { label, value, origin });
  };
  for (const [label, value] of Object.entries(source.labels))
    put(label, value, given.has(label) ? "its kind" : "itself");
  for (const profile of source.profiles)
    for (const [label, value] of Object.entries(model.profiles.get(profile)?.labels ?? {}))
      put(label, value, `profile ${profile}`);
  return [...found.values()].sort((a, b) => (a.label < b.label ? -1 : 1));
}

export function labelMap(model: ClusterModel, source: Source): ReadonlyMap<string, string> {
  return new Map(labelsOf(model, source).map(({ label, value }) => [label, value]));
}
