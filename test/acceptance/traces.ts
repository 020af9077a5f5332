/** Counts what containers, applications and networks may leave behind on the hosts and in the store. */

import type { Cluster } from "./cluster.ts";

/** One line per left-over thing; empty when all is as on a fresh cluster. */
export async function traces(cluster: Cluster): Promise<readonly string[]> {
  const found: string[] = [];
  for (const host of cluster.hosts) found.push(...(await tracesOnHost(cluster, host)));
  const listed = await cluster.on("host1", "etcdctl", "get", "--prefix", "/", "--write-out=json");
  const pairs = (JSON.parse(listed) as { kvs?: { key: string; value: string }[] }).kvs ?? [];
  for (const pair of pairs) {
    const key = Buffer.from(pair.key, "base64").toString();
    const value = Buffer.from(pair.value, "base64").toString();
    found.push(...tracesOfKey(key, value));
  }
  return found;
}

async function tracesOnHost(cluster: Cluster, host: string): Promise<readonly string[]> {
  const links = JSON.parse(await cluster.on(host, "ip", "-j", "link")) as { ifname: string }[];
  const routes = JSON.parse(await cluster.on(host, "ip", "-j", "route")) as { dst: string; dev?: string }[];
  const rules = JSON.parse(await cluster.on(host, "nft", "-j", "list", "ruleset")) as {
    nftables: Record<string, NftObject>[];
  };
  const ours = rules.nftables
    .flatMap((entry) => Object.entries(entry))
    .filter(([, object]) => (object.table ?? object.name)?.startsWith("margay"));
  return [
    ...links.filter(({ ifname }) => /^(cali|temp)/.test(ifname)).map(({ ifname }) => `${host}: link ${ifname}`),
    ...routes
      .filter(({ dst, dev }) => /^192\.168\.\d+\.\d+$/.test(dst) || dev?.startsWith("cali"))
      .map(({ dst }) => `${host}: route ${dst}`),
    ...ours
      .filter(([kind, object]) => kind === "chain" && ownedByEndpoint(object.name))
      .map(([, { name }]) => `${host}: chain ${name}`),
    ...ours
      .filter(([kind, object]) => (kind === "set" || kind === "map") && holdsMembers(object))
      .map(([, { name, elem }]) => `${host}: ${name} holds ${JSON.stringify(elem)}`),
  ];
}

interface NftObject {
  readonly name?: string;
  readonly table?: string;
  readonly elem?: readonly unknown[];
}

/** Chains of endpoints, profiles and policies carry the name of what they stand for; base chains do not. */
function ownedByEndpoint(name = ""): boolean {
  return /cali|profile|policy|my-calico|other-calico/.test(name);
}

/** Pools, own blocks and the hosts' addresses are there as long as the cluster is. */
function holdsMembers(object: NftObject): boolean {
  return (object.elem ?? []).length > 0 && !/pool|block|nat|^hosts[46]$/.test(object.name ?? "");
}

function tracesOfKey(key: string, value: string): readonly string[] {
  if (key.startsWith("/calico/ipam/v2/assignment/")) {
    const taken = (JSON.parse(value) as { allocations: (number | null)[] }).allocations.filter(
      (entry) => entry !== null,
    ).length;
    return taken === 0 ? [] : [`${key}: ${taken} addresses`];
  }
  const left = [
    "/calico/ipam/v2/handle/",
    "/calico/resources/v3/projectcalico.org/workloadendpoints/",
    "/calico/resources/v3/projectcalico.org/profiles/",
    "/margay/docker/networks/",
    "/margay/marathon/apps/",
    "/margay/marathon/instances/",
  ];
  return left.some((prefix) => key.startsWith(prefix)) ? [key] : [];
}
