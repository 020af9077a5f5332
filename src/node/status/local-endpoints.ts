/** The endpoints of this host, with what their status is told under (felix-dataplane.md 1.6). */
import { ipFamily } from "../../base/addresses.ts";
import { BadInput } from "../../base/errors.ts";
import { kindPrefix, parseResourceKey } from "../../model/keys.ts";
import { HostEndpoint } from "../../model/label-owners.ts";
import { decode } from "../../model/resource.ts";
import { decodeWorkloadEndpoint, networksOf } from "../../model/workload-endpoint.ts";
import { parseWorkloadEndpointName, workloadEndpointNamePrefix } from "../../model/workload-endpoint-name.ts";

export interface LocalWorkload {
  readonly kind: "workload";
  readonly orchestrator: string;
  /** With its namespace: default/web. */
  readonly workload: string;
  readonly endpoint: string;
  readonly interfaceName: string;
  readonly mac: string;
  readonly ipv4Nets: readonly string[];
  readonly ipv6Nets: readonly string[];
}

export interface LocalHostEndpoint {
  readonly kind: "host";
  readonly name: string;
}

export type LocalEndpoint = LocalWorkload | LocalHostEndpoint;

const workloadsPrefix = kindPrefix("WorkloadEndpoint");
const hostEndpointsPrefix = kindPrefix("HostEndpoint");

export class LocalEndpoints {
  readonly #host: string;
  readonly #namePrefix: string;
  readonly #endpoints = new Map<string, LocalEndpoint>();

  constructor(host: string) {
    this.#host = host;
    this.#namePrefix = workloadEndpointNamePrefix(host);
  }

  /** By key. */
  get all(): ReadonlyMap<string, LocalEndpoint> {
    return this.#endpoints;
  }

  /** The value of a key of the store now. What cannot be read is not there. */
  update(key: string, value: string | undefined): void {
    if (key.startsWith(workloadsPrefix)) {
      // Names begin with the host's: the thousands of other hosts need not be read to see that.
      const name = key.slice(key.lastIndexOf("/") + 1);
      if (name.startsWith(this.#namePrefix)) this.#set(key, value && readable(() => this.#workload(key, value)));
    } else if (key.startsWith(hostEndpointsPrefix)) {
      this.#set(key, value && readable(() => this.#hostEndpoint(key, value)));
    }
  }

  #set(key: string, endpoint: LocalEndpoint | "" | undefined): void {
    if (endpoint === undefined || endpoint === "") this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
  }

  #workload(key: string, value: string): LocalEndpoint | undefined {
    const resource = decodeWorkloadEndpoint(value, key);
    const { spec } = resource;
    const { name = "", namespace = "" } = parseResourceKey(key) ?? {};
    const [, , workload] = parseWorkloadEndpointName(name) ?? [];
    if (spec.node !== this.#host || workload === undefined || spec.interfaceName === undefined) return undefined;
    const networks = networksOf(resource, key);
    return {
      kind: "workload",
      orchestrator: spec.orchestrator,
      workload: `${namespace}/${workload}`,
      endpoint: spec.endpoint,
      interfaceName: spec.interfaceName,
      mac: spec.mac ?? "",
      ipv4Nets: networks.filter((cidr) => ipFamily(cidr) === 4),
      ipv6Nets: networks.filter((cidr) => ipFamily(cidr) === 6),
    };
  }

  #hostEndpoint(key: string, value: string): LocalEndpoint | undefined {
    const { metadata, spec } = decode(HostEndpoint, value, key);
    return spec.node === this.#host ? { kind: "host", name: metadata.name } : undefined;
  }
}

function readable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
