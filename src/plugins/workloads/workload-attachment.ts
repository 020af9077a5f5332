/**
 * plugins/workloads/ gives containers that run already a network, one by one and by command: `calicoctl container add`.
 * - Address and WorkloadEndpoint are one transaction; the interface follows, and its policy is in the kernel before the
 *   container gets its end. What fails on the way is taken back.
 * - Nothing is done on its own: a container that has stopped keeps its address until somebody removes it, as the classic
 *   releases had it. A crash in the middle leaves an endpoint that `container remove` takes away.
 * Absent on purpose: Docker (the asker says where the container's network namespace is), words for users.
 */
import { statSync } from "node:fs";
import {
  type Cidr,
  hostCidr,
  type IpAddress,
  ipFamily,
  networkAddress,
  parseCidr,
  parseIpAddress,
} from "../../base/addresses.ts";
import { type Clock, deadline } from "../../base/clock.ts";
import { BadInput, describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { parseInterfaceName } from "../../base/names.ts";
import type { Ipam } from "../../ipam/ipam.ts";
import { isIpamError } from "../../ipam/ipam-error.ts";
import type { AssignRequest } from "../../ipam/ipam-requests.ts";
import { ContainerLink, type NextHops } from "../../kernel/container-link.ts";
import { kindPrefix } from "../../model/keys.ts";
import { check, encode } from "../../model/resource.ts";
import {
  decodeWorkloadEndpoint,
  keyOfWorkloadEndpoint,
  networksOf,
  newWorkloadEndpoint,
  type WorkloadEndpoint,
} from "../../model/workload-endpoint.ts";
import { workloadEndpointNamePrefix } from "../../model/workload-endpoint-name.ts";
import type { NodeAgent } from "../../node/agent.ts";
import { routeProtocol } from "../../node/dataplane/chain-names.ts";
import { linkLocalAddress } from "../../node/link-local-address.ts";
import type { NodeApi } from "../../node/node-api.ts";
import type { Store } from "../../store/store.ts";
import { CONTAINER_MAC, hostInterfaceName, temporaryInterfaceName } from "../docker/endpoints/endpoint-names.ts";
import { nextHopAddress } from "../docker/endpoints/endpoint-state.ts";
import { KeyedLocks } from "../docker/keyed-locks.ts";
import {
  AddressRequest,
  AttachRequest,
  addAddressPath,
  attachPath,
  DetachRequest,
  detachPath,
  removeAddressPath,
} from "./workload-requests.ts";

export interface WorkloadAttachmentOptions {
  readonly agent: Pick<NodeAgent, "dataplane" | "programmed"> & { readonly host: { readonly name: string } };
  readonly store: Store;
  /** That of the whole process, which knows what is set aside. */
  readonly ipam: Ipam;
  readonly clock: Clock;
  readonly log: Log;
}

/** Namespace, in the datastore, of endpoints that no orchestrator with namespaces made. */
const namespace = "default";
const answerWithinMs = 20_000;
const attemptsMax = 5;

interface Found {
  readonly key: string;
  readonly modRevision: number;
  readonly record: WorkloadEndpoint;
}

export class WorkloadAttachment {
  readonly #options: WorkloadAttachmentOptions;
  readonly #locks = new KeyedLocks();

  constructor(options: WorkloadAttachmentOptions) {
    this.#options = options;
  }

  /** Answers on the node's own API from now on. */
  static serve(options: WorkloadAttachmentOptions, api: NodeApi): WorkloadAttachment {
    const attachment = new WorkloadAttachment(options);
    api.addQuestion(attachPath, (body, signal) => attachment.attach(check(AttachRequest, body), signal));
    api.addQuestion(detachPath, (body, signal) => attachment.detach(check(DetachRequest, body), signal));
    api.addQuestion(addAddressPath, (body, signal) => attachment.addAddress(check(AddressRequest, body), signal));
    api.addQuestion(removeAddressPath, (body, signal) => attachment.removeAddress(check(AddressRequest, body), signal));
    return attachment;
  }

  async attach(
    request: AttachRequest,
    asker: AbortSignal,
  ): Promise<{ readonly endpoint: string; readonly address: IpAddress }> {
    return await this.#oneAtATime(request, asker, async (signal) => {
      const link = this.#linkOf(request);
      if ((await this.#find(request, signal)).length > 0) {
        throw new OperationError("WORKLOAD_ATTACHED", `${request.workload} has an endpoint already`);
      }
      if (link.exists())
        throw new OperationError("WORKLOAD_INTERFACE_TAKEN", `the container has an interface ${link.name} already`);
      const endpoint = this.#options.clock.uuid().replaceAll("-", "");
      const { record, address } = await this.#create(endpoint, request, signal);
      try {
        await this.#connect(link, record, [address], signal);
      } catch (error) {
        await this.#undo(request, error, (undo) => this.#remove(record, undo));
        throw error;
      }
      return { endpoint, address };
    });
  }

  /** Answers how many endpoints there were: none is no error. */
  async detach(request: DetachRequest, asker: AbortSignal): Promise<{ readonly removed: number }> {
    return await this.#oneAtATime(request, asker, async (signal) => {
      const found = await this.#find(request, signal);
      for (const { record } of found) await this.#remove(record, signal);
      return { removed: found.length };
    });
  }

  async addAddress(request: AddressRequest, asker: AbortSignal): Promise<{ readonly address: IpAddress }> {
    const address = parseIpAddress(request.address, "address");
    return await this.#oneAtATime(request, asker, async (signal) => {
      const record = await this.#theEndpoint(request, signal);
      const link = this.#linkOf(request);
      if (!link.exists()) throw noSuchInterface(link.name);
      const revision = await this.#write(request, signal, async (found) => {
        await this.#options.ipam.assignAddress({
          ...this.#owner(found.record.spec.endpoint, request),
          ...withNetworks(found, [...networksOf(found.record), hostCidr(address)]),
          family: ipFamily(address),
          address,
          signal,
        });
      });
      try {
        await this.#options.agent.programmed(keyOfWorkloadEndpoint(record), revision, signal);
        link.addAddresses([address], await this.#nextHops(record));
      } catch (error) {
        await this.#undo(request, error, (undo) => this.#withdraw(request, address, undo));
        throw error;
      }
      return { address };
    });
  }

  async removeAddress(request: AddressRequest, asker: AbortSignal): Promise<{ readonly address: IpAddress }> {
    const address = parseIpAddress(request.address, "address");
    return await this.#oneAtATime(request, asker, async (signal) => {
      const record = await this.#theEndpoint(request, signal);
      if (!networksOf(record).includes(hostCidr(address))) {
        throw new OperationError("WORKLOAD_ADDRESS_UNKNOWN", `${address} is no address of ${request.workload}`);
      }
      const link = this.#linkOf(request);
      if (!link.exists()) throw noSuchInterface(link.name);
      link.removeAddress(address);
      await this.#withdraw(request, address, signal);
      return { address };
    });
  }

  async #withdraw(request: DetachRequest, address: IpAddress, signal: AbortSignal): Promise<void> {
    await this.#write(request, signal, async (found) => {
      const kept = networksOf(found.record).filter((cidr) => networkAddress(cidr) !== address);
      await this.#options.ipam.releaseAddress(address, { ...withNetworks(found, kept), signal });
    });
  }

  /** Once more when somebody else (profiles, labels) has changed the record meanwhile. Answers its revision afterwards. */
  async #write(request: DetachRequest, signal: AbortSignal, write: (found: Found) => Promise<void>): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const [found] = await this.#find(request, signal);
      if (found === undefined) throw unknownWorkload(request);
      try {
        await write(found);
        return (await this.#options.store.get(found.key, { signal }))?.modRevision ?? 0;
      } catch (error) {
        if (!isIpamError(error, "IPAM_PRECONDITION_FAILED") || attempt >= attemptsMax) throw error;
      }
    }
  }

  #oneAtATime<T>(
    { workload }: DetachRequest,
    asker: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = deadline(this.#options.clock, answerWithinMs, asker);
    return this.#locks.run(workload, signal, () => work(signal));
  }

  /** @throws when the namespace is not there, or is this host's own. */
  #linkOf({ namespacePath, interfaceName }: Pick<AddressRequest, "namespacePath" | "interfaceName">): ContainerLink {
    const name = parseInterfaceName(interfaceName, "interfaceName");
    let inode: number;
    try {
      inode = statSync(namespacePath).ino;
    } catch (cause) {
      throw new OperationError("WORKLOAD_NAMESPACE_UNKNOWN", `there is no network namespace ${namespacePath}`, {
        cause,
      });
    }
    if (inode === statSync("/proc/self/ns/net").ino) {
      throw new OperationError("WORKLOAD_HOST_NETWORK", `${namespacePath} is the network of the host itself`);
    }
    return new ContainerLink(namespacePath, name, routeProtocol);
  }

  async #find({ orchestrator, workload }: DetachRequest, signal: AbortSignal): Promise<readonly Found[]> {
    const { agent, store } = this.#options;
    const host = agent.host.name;
    const prefix = kindPrefix("WorkloadEndpoint", namespace) + workloadEndpointNamePrefix(host, orchestrator);
    const { kvs } = await store.list(prefix, { signal });
    return kvs.flatMap(({ key, value, modRevision }) => {
      try {
        const record = decodeWorkloadEndpoint(value, key);
        const { spec } = record;
        const isOurs = spec.node === host && spec.orchestrator === orchestrator && spec.workload === workload;
        return isOurs ? [{ key, modRevision, record }] : [];
      } catch (error) {
        if (error instanceof BadInput) return [];
        throw error;
      }
    });
  }

  async #theEndpoint(request: DetachRequest, signal: AbortSignal): Promise<WorkloadEndpoint> {
    const [found] = await this.#find(request, signal);
    if (found === undefined) throw unknownWorkload(request);
    return found.record;
  }

  async #create(endpoint: string, request: AttachRequest, signal: AbortSignal) {
    const { agent, clock } = this.#options;
    const stamp = { uid: clock.uuid(), nowMs: clock.nowMs() };
    const recordWith = (address: IpAddress) =>
      newWorkloadEndpoint(
        {
          namespace,
          node: agent.host.name,
          orchestrator: request.orchestrator,
          workload: request.workload,
          endpoint,
          interfaceName: hostInterfaceName(endpoint),
          mac: CONTAINER_MAC.toLowerCase(),
          addresses: [address],
          profiles: [],
        },
        stamp,
      );
    const address = await this.#options.ipam.assignAddress({
      ...this.#owner(endpoint, request),
      ...wish(request.wanted),
      also: (given) => [{ put: keyOfWorkloadEndpoint(recordWith(given)), value: encode(recordWith(given)) }],
      signal,
    });
    return { record: recordWith(address), address };
  }

  #owner(
    endpoint: string,
    { orchestrator, workload }: DetachRequest,
  ): Pick<AssignRequest, "host" | "handle" | "attributes"> {
    return { host: this.#options.agent.host.name, handle: endpoint, attributes: { orchestrator, workload } };
  }

  /** Nothing reaches the container's end before its policy is in force. */
  async #connect(link: ContainerLink, record: WorkloadEndpoint, addresses: readonly IpAddress[], signal: AbortSignal) {
    const { agent } = this.#options;
    const { endpoint, mac } = record.spec;
    const temporary = temporaryInterfaceName(endpoint);
    await agent.dataplane.createVeth({
      hostName: hostInterfaceName(endpoint),
      containerName: temporary,
      ...(mac === undefined ? {} : { mac }),
    });
    await agent.programmed(keyOfWorkloadEndpoint(record), 0, signal);
    link.takeIn(temporary);
    link.addAddresses(addresses, await this.#nextHops(record));
  }

  async #nextHops({ spec }: WorkloadEndpoint): Promise<NextHops> {
    const linkLocal = await linkLocalAddress(hostInterfaceName(spec.endpoint));
    return { 4: parseIpAddress(nextHopAddress(1)), ...(linkLocal === undefined ? {} : { 6: linkLocal }) };
  }

  async #remove(record: WorkloadEndpoint, signal: AbortSignal): Promise<void> {
    const { spec } = record;
    await this.#options.agent.dataplane.removeVeth(spec.interfaceName ?? hostInterfaceName(spec.endpoint));
    await this.#options.ipam.releaseByHandle(spec.endpoint, {
      also: () => [{ delete: keyOfWorkloadEndpoint(record) }],
      signal,
    });
  }

  /** Without the asker's signal: what was begun is undone, whoever has gone. */
  async #undo(
    { workload }: DetachRequest,
    cause: unknown,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { log, clock } = this.#options;
    log.warn({ event: "workload_change_undone", workload, because: describeError(cause) });
    try {
      await work(deadline(clock, answerWithinMs));
    } catch (error) {
      log.error({ event: "workload_left_behind", workload, error: describeError(error) });
    }
  }
}

/** The record with these networks, for the transaction that takes or gives an address. */
function withNetworks({ key, modRevision, record }: Found, networks: readonly Cidr[]) {
  const value = encode({ ...record, spec: { ...record.spec, ipNetworks: [...networks] } });
  return { require: [{ key, modRevision }], also: () => [{ put: key, value }] };
}

function unknownWorkload({ workload }: DetachRequest): OperationError {
  return new OperationError("WORKLOAD_UNKNOWN", `${workload} has no endpoint on this host`);
}

function wish(wanted: AttachRequest["wanted"]): Pick<AssignRequest, "family" | "pools" | "address"> {
  if ("family" in wanted) return { family: wanted.family };
  if ("address" in wanted) {
    const address = parseIpAddress(wanted.address, "wanted.address");
    return { family: ipFamily(address), address };
  }
  const pool = parseCidr(wanted.pool, "wanted.pool");
  return { family: ipFamily(pool), pools: [pool] };
}

function noSuchInterface(name: string): OperationError {
  return new OperationError("WORKLOAD_INTERFACE_UNKNOWN", `the container has no interface ${name}`);
}
