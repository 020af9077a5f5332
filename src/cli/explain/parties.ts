/** Who a word of the command line means: an address, an endpoint, a container of this host, a task, an app, a host. */
import { z } from "zod";
import { type IpAddress, tryParseIpAddress } from "../../base/addresses.ts";
import { BadInput } from "../../base/errors.ts";
import { parseJson } from "../../model/json.ts";
import { check } from "../../model/resource.ts";
import { NETWORK_ANNOTATION } from "../../plugins/docker/endpoints/endpoint-names.ts";
import {
  addressOfHost,
  type ClusterModel,
  endpointsAt,
  type ModelEndpoint,
  type ModelHostEndpoint,
} from "../../policy/explain/cluster-model.ts";
import { type Party, partyAt } from "../../policy/explain/flow.ts";

export interface Found {
  /** Of one of these families an address can be picked. */
  readonly at: (family: 4 | 6) => Party | undefined;
  readonly families: readonly (4 | 6)[];
  /** Undefined for hosts and the world outside. */
  readonly endpoint: ModelEndpoint | undefined;
  /** What the word was, for a reader: "container a1", "an outside address". */
  readonly title: string;
  readonly notes: readonly string[];
}

export interface Places {
  readonly model: ClusterModel;
  /** Values below /margay/marathon/instances/. */
  readonly instances: readonly string[];
  /** Docker EndpointIDs of a container of this host, by name or id; none when there is no such container. */
  readonly containerEndpoints: (name: string) => Promise<readonly string[]>;
}

/** @throws BadInput when the word means nothing, or more than one endpoint. */
export async function findParty(places: Places, word: string, path: string): Promise<Found> {
  const { model } = places;
  const address = tryParseIpAddress(word);
  if (address !== undefined) return atAddress(model, address);
  // "a1@my-net": the endpoint of a1 in that Docker network.
  const at = word.lastIndexOf("@");
  const [name, network] = at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
  const { title, endpoints, choose } = await candidates(places, name);
  const fitting = endpoints.filter(({ document }) => {
    const of = document.metadata.annotations?.[NETWORK_ANNOTATION];
    return network === undefined || of === network || document.spec.profiles?.includes(network);
  });
  const [first, ...others] = fitting;
  if (first === undefined) return hostOrNothing(model, word, path);
  if (others.length > 0 && choose === "one") {
    const list = fitting.map(({ ips, host, source }) => `${ips.join(" ")} (${source.profiles.join(",")}) on ${host}`);
    throw new BadInput(
      path,
      `"${word}" means ${fitting.length} endpoints: ${list.join("; ")}`,
      "NAME@NETWORK or an address",
    );
  }
  const instance =
    others.length === 0
      ? []
      : [`${title} has ${fitting.length} endpoints; this is about ${first.ips[0]} on ${first.host}`];
  return ofEndpoint(first, title, instance);
}

/** A host's own interface, by name or key; unless the word means an endpoint of a container, too. */
export function findHostEndpoint(model: ClusterModel, word: string): ModelHostEndpoint | undefined {
  const isContainers = [...model.endpoints.values()].some(({ document }) => document.metadata.name === word);
  if (isContainers) return undefined;
  return [...model.hostEndpoints.values()].find(({ key, name }) => key === word || name === word);
}

interface Candidates {
  readonly title: string;
  readonly endpoints: readonly ModelEndpoint[];
  /** Instances of an app are alike: the first one stands for all. */
  readonly choose: "one" | "any";
}

async function candidates({ model, instances, containerEndpoints }: Places, name: string): Promise<Candidates> {
  const all = [...model.endpoints.values()];
  const named = all.filter(({ key, interfaceName, document: { metadata, spec } }) =>
    [
      key,
      metadata.name,
      `${metadata.namespace}/${metadata.name}`,
      interfaceName,
      spec.endpoint,
      spec.containerID,
    ].includes(name),
  );
  if (named.length > 0) return { title: "endpoint", endpoints: named, choose: "one" };
  const ids = new Set(await containerEndpoints(name));
  const inContainer = all.filter(({ document }) => ids.has(document.spec.endpoint));
  if (inContainer.length > 0) return { title: `container ${name}`, endpoints: inContainer, choose: "one" };
  const tasks = instances.map((text) => check(Instance, parseJson(text)));
  const ofTasks = (chosen: readonly z.infer<typeof Instance>[]) => {
    const addresses = chosen.flatMap(({ networkAddresses = [] }) => networkAddresses.map(({ ipAddress }) => ipAddress));
    return all.filter(({ ips }) => ips.some((ip) => addresses.includes(ip)));
  };
  const task = tasks.filter(({ id, taskId }) => id === name || taskId === name);
  if (task.length > 0) return { title: `task ${name}`, endpoints: ofTasks(task), choose: "any" };
  const app = tasks.filter(({ appId }) => appId === name || appId === `/${name}`);
  if (app.length > 0) return { title: `app ${app[0]?.appId}`, endpoints: ofTasks(app), choose: "any" };
  const begins = name.length < 4 ? [] : all.filter(({ document }) => document.spec.endpoint.startsWith(name));
  return { title: "endpoint", endpoints: begins, choose: "one" };
}

const Instance = z.looseObject({
  id: z.string().optional(),
  appId: z.string().optional(),
  taskId: z.string().optional(),
  networkAddresses: z.array(z.looseObject({ ipAddress: z.string() })).optional(),
});

const familyOf = (address: IpAddress): 4 | 6 => (address.includes(":") ? 6 : 4);

function atAddress(model: ClusterModel, address: IpAddress): Found {
  const [endpoint] = endpointsAt(model, address);
  const party = partyAt(model, address);
  const title = { endpoint: "endpoint", host: party.kind === "host" ? `host ${party.host}` : "", outside: "outside" }[
    party.kind
  ];
  const family = familyOf(address);
  return { at: (wanted) => (wanted === family ? party : undefined), families: [family], endpoint, title, notes: [] };
}

function ofEndpoint(endpoint: ModelEndpoint, title: string, notes: readonly string[]): Found {
  const families = [...new Set(endpoint.ips.map(familyOf))];
  const at = (family: 4 | 6): Party | undefined => {
    const address = endpoint.ips.find((ip) => familyOf(ip) === family);
    return address && { kind: "endpoint", address, endpoint };
  };
  return { at, families, endpoint, title, notes };
}

function hostOrNothing(model: ClusterModel, name: string, path: string): Found {
  const at = (family: 4 | 6): Party | undefined => {
    const address = addressOfHost(model, name, family);
    return address && { kind: "host", address, host: name };
  };
  const families = ([4, 6] as const).filter((family) => at(family) !== undefined);
  if (families.length > 0) return { at, families, endpoint: undefined, title: `host ${name}`, notes: [] };
  const broken = [...model.invalid].find(([key]) => key.includes(name));
  if (broken !== undefined) throw new BadInput(path, `"${name}" cannot be read: ${broken[1]}`, "a valid resource");
  const expected = "an address, endpoint, container of this host, Mesos task, Marathon app or host";
  throw new BadInput(path, `nobody is called "${name}" and has an address here`, expected);
}
