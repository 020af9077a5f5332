/**
 * The IPAM driver `calico` (and `calico-ipam`): IpamDriver.* of Docker's plug-in protocol (reference/docker.md 3 and 4.4).
 * - No pool is ever reserved: addresses come from Calico's pools, singly, from blocks of this host.
 * - PoolIDs are kept by Docker for years: fixed words, or the text of a pool's CIDR.
 * - The gateway mark 0.0.0.0/0 (::/0) in RequestPool's data spends no address and tells the network driver its partner.
 */
import {
  type Cidr,
  cidrContains,
  hostCidr,
  type IpAddress,
  ipFamily,
  tryParseCidr,
  tryParseIpAddress,
} from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import type { Pool } from "../../model/ip-pool.ts";
import type { EndpointRegistry } from "./endpoints/endpoint-registry.ts";
import { GATEWAY_MARK_V4, GATEWAY_MARK_V6 } from "./network-options.ts";
import { bodyless, type PluginCalls, withBody } from "./plugin-server.ts";
import {
  type ReleaseAddressRequest,
  type RequestAddressRequest,
  type RequestPoolRequest,
  releaseAddressRequest,
  releasePoolRequest,
  requestAddressRequest,
  requestPoolRequest,
} from "./plugin-shapes.ts";

const POOL_ID_V4 = "CalicoPoolIPv4";
const POOL_ID_V6 = "CalicoPoolIPv6";
/**
 * The same for both: asked for a local-scope network in a driver's global space, Docker >= 27 skips the overlap check that
 * otherwise repeats RequestPool for ever (reference/docker.md 3.4).
 */
const ADDRESS_SPACE = "CalicoGlobalAddressSpace";
const GATEWAY_KEY = "com.docker.network.gateway";
const ADDRESS_TYPE_KEY = "RequestAddressType";
/** Docker <= 26 asks again without pause while a pool overlaps with what the host uses: end that loop with an error. */
const POOL_REQUESTS_PER_SECOND_MAX = 20;

export interface IpamDriverOptions {
  readonly registry: EndpointRegistry;
  /** Pools as the node last saw them: answered from memory, so that Docker boots while the store is away. */
  readonly pools: (signal: AbortSignal) => Promise<readonly Pool[]>;
  readonly clock: Clock;
}

export class IpamDriver {
  readonly #options: IpamDriverOptions;
  #poolRequestTimesMs: number[] = [];

  constructor(options: IpamDriverOptions) {
    this.#options = options;
  }

  calls(): PluginCalls {
    return {
      "IpamDriver.GetCapabilities": bodyless(() => ({ RequiresMACAddress: false, RequiresRequestReplay: false })),
      "IpamDriver.GetDefaultAddressSpaces": bodyless(() => ({
        LocalDefaultAddressSpace: ADDRESS_SPACE,
        GlobalDefaultAddressSpace: ADDRESS_SPACE,
      })),
      "IpamDriver.RequestPool": withBody(requestPoolRequest, (request, signal) => this.requestPool(request, signal)),
      "IpamDriver.ReleasePool": withBody(releasePoolRequest, () => ({})),
      "IpamDriver.RequestAddress": withBody(requestAddressRequest, (request, signal) =>
        this.requestAddress(request, signal),
      ),
      "IpamDriver.ReleaseAddress": withBody(releaseAddressRequest, (request, signal) =>
        this.releaseAddress(request, signal),
      ),
    };
  }

  async requestPool(request: RequestPoolRequest, signal: AbortSignal): Promise<object> {
    if (request.SubPool !== "") {
      throw refusal(
        "Calico IPAM does not support sub pool configuration on 'docker create network'. Calico IP Pools should be " +
          "configured first and IP assignment is from those pre-configured pools.",
      );
    }
    if (Object.keys(request.Options).length > 0) throw refusal("Arbitrary options are not supported");
    if (request.Pool !== "") return await this.#poolOf(request.Pool, signal);
    if (!request.V6) return { PoolID: POOL_ID_V4, Pool: "0.0.0.0/0", Data: { [GATEWAY_KEY]: GATEWAY_MARK_V4 } };
    this.#refuseLoop();
    // A real prefix: ::/0 would overlap with an IPv6 name server of the host and Docker would ask for ever.
    const first = (await this.#options.pools(signal)).find((pool) => ipFamily(pool.cidr) === 6 && !pool.disabled);
    if (first === undefined) {
      throw refusal("There is no enabled IPv6 Calico IP Pool. Create one before creating a network with --ipv6.");
    }
    return { PoolID: POOL_ID_V6, Pool: first.cidr, Data: { [GATEWAY_KEY]: GATEWAY_MARK_V6 } };
  }

  async requestAddress(request: RequestAddressRequest, signal: AbortSignal): Promise<object> {
    if (request.Options[ADDRESS_TYPE_KEY] === GATEWAY_KEY) {
      throw refusal("Calico IPAM does not support specifying a gateway.");
    }
    const address =
      request.Address === ""
        ? await this.#anyAddress(request.PoolID, signal)
        : await this.#thisAddress(request.Address, signal);
    return { Address: hostCidr(address), Data: {} };
  }

  async releaseAddress(request: ReleaseAddressRequest, signal: AbortSignal): Promise<object> {
    const address = tryParseIpAddress(request.Address.split("/")[0] ?? "");
    // Docker gives back the gateway mark too (0.0.0.0, ::): nothing was taken for it.
    const isMark = address === "0.0.0.0" || address === "::";
    if (address !== undefined && !isMark) await this.#options.registry.release(address, signal);
    return {};
  }

  async #poolOf(text: string, signal: AbortSignal): Promise<object> {
    const cidr = tryParseCidr(text);
    if (cidr === undefined || !text.includes("/")) throw refusal("Invalid CIDR");
    if (!(await this.#options.pools(signal)).some((pool) => pool.cidr === cidr)) {
      throw refusal("The requested subnet must match the CIDR of a configured Calico IP Pool.");
    }
    const mark = ipFamily(cidr) === 4 ? GATEWAY_MARK_V4 : GATEWAY_MARK_V6;
    return { PoolID: cidr, Pool: cidr, Data: { [GATEWAY_KEY]: mark } };
  }

  async #anyAddress(poolId: string, signal: AbortSignal): Promise<IpAddress> {
    const { family, pool } = await this.#readPoolId(poolId, signal);
    const address = await this.#options.registry.reserveAny(family, pool, signal);
    if (address !== undefined) return address;
    throw refusal("There are no available IP addresses in the configured Calico IP pools");
  }

  async #thisAddress(text: string, signal: AbortSignal): Promise<IpAddress> {
    const address = tryParseIpAddress(text.split("/")[0] ?? "");
    if (address === undefined) throw refusal(`"${text}" is not an IP address`);
    const inPool = (await this.#options.pools(signal)).some(
      (pool) => ipFamily(pool.cidr) === ipFamily(address) && cidrContains(pool.cidr, address),
    );
    if (!inPool) throw refusal(`The address ${address} is not in one of the configured Calico IP pools`);
    if (!(await this.#options.registry.reserve(address, signal)))
      throw refusal(`The address ${address} is already in use`);
    return address;
  }

  async #readPoolId(
    poolId: string,
    signal: AbortSignal,
  ): Promise<{ readonly family: 4 | 6; readonly pool: Cidr | undefined }> {
    if (poolId === POOL_ID_V4) return { family: 4, pool: undefined };
    if (poolId === POOL_ID_V6) return { family: 6, pool: undefined };
    const cidr = tryParseCidr(poolId);
    if (cidr === undefined) throw refusal(`"${poolId}" is no pool of Calico IPAM`);
    if (!(await this.#options.pools(signal)).some((pool) => pool.cidr === cidr)) {
      throw refusal(
        "The network references a Calico pool which has been deleted. Please re-instate the Calico pool before using the network.",
      );
    }
    return { family: ipFamily(cidr), pool: cidr };
  }

  #refuseLoop(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#poolRequestTimesMs = [...this.#poolRequestTimesMs.filter((timeMs) => nowMs - timeMs < 1_000), nowMs];
    if (this.#poolRequestTimesMs.length <= POOL_REQUESTS_PER_SECOND_MAX) return;
    throw refusal("The IPv6 pool overlaps with an address Docker uses on this host; create the network with --subnet");
  }
}

function refusal(text: string): OperationError {
  return new OperationError("DOCKER_IPAM_REFUSED", text, { retry: "after-change" });
}
