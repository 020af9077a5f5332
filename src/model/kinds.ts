/** The resource kinds of projectcalico.org/v3, their plural in keys and whether they live in a namespace (1.2). */

const clusterScoped = {
  BGPConfiguration: "bgpconfigurations",
  BGPFilter: "bgpfilters",
  BGPPeer: "bgppeers",
  CalicoNodeStatus: "caliconodestatuses",
  ClusterInformation: "clusterinformations",
  FelixConfiguration: "felixconfigurations",
  GlobalNetworkPolicy: "globalnetworkpolicies",
  GlobalNetworkSet: "globalnetworksets",
  HostEndpoint: "hostendpoints",
  IPAMConfiguration: "ipamconfigurations",
  IPPool: "ippools",
  IPReservation: "ipreservations",
  KubeControllersConfiguration: "kubecontrollersconfigurations",
  Node: "nodes",
  Profile: "profiles",
  StagedGlobalNetworkPolicy: "stagedglobalnetworkpolicies",
  Tier: "tiers",
} as const;

const namespaced = {
  NetworkPolicy: "networkpolicies",
  NetworkSet: "networksets",
  StagedKubernetesNetworkPolicy: "stagedkubernetesnetworkpolicies",
  StagedNetworkPolicy: "stagednetworkpolicies",
  WorkloadEndpoint: "workloadendpoints",
} as const;

const plurals = { ...clusterScoped, ...namespaced } as const;

export type Kind = keyof typeof plurals;

export const kinds = Object.keys(plurals) as readonly Kind[];

const kindByPlural: ReadonlyMap<string, Kind> = new Map(kinds.map((kind) => [plurals[kind], kind]));

export function pluralOf(kind: Kind): string {
  return plurals[kind];
}

export function kindOfPlural(plural: string): Kind | undefined {
  return kindByPlural.get(plural);
}

export function isNamespaced(kind: Kind): boolean {
  return Object.hasOwn(namespaced, kind);
}
