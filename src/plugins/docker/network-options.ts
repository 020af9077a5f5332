/**
 * Which `docker network create` requests the driver takes, with the texts of the original plug-in for those it does not
 * (reference/docker.md 4.3). Pure. Two differences to the original, both needed: `com.docker.network.enable_ipv4` (sent
 * since Engine 28) is fine, and the IPAM partner of an IPv6 network is known by its gateway, not by its address space.
 */
import { type IpAddress, parseIpAddress } from "../../base/addresses.ts";
import { BadInput, OperationError } from "../../base/errors.ts";
import type { CreateNetworkRequest } from "./plugin-shapes.ts";

const OPTION_PREFIX = "com.docker.network.";
const GENERIC_OPTIONS = "com.docker.network.generic";
const FAMILY_OPTIONS: readonly string[] = ["com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"];
export const MTU_OPTION = "com.docker.network.driver.mtu";
const MARGAY_OPTION_PREFIX = "org.margay.";

/** What the IPAM driver answers as gateway: spends no address, and tells the network driver that its partner is Calico's. */
export const GATEWAY_MARK_V4 = "0.0.0.0/0";
export const GATEWAY_MARK_V6 = "::/0";

export interface NetworkOptions {
  readonly mtu: number | undefined;
  readonly auxAddresses: readonly IpAddress[];
}

/** @throws OperationError with the original's text when the network cannot be had. */
export function readNetworkOptions(request: CreateNetworkRequest): NetworkOptions {
  for (const [key, value] of Object.entries(request.Options)) {
    if (FAMILY_OPTIONS.includes(key)) continue;
    refuseOption(key, value);
  }
  for (const data of request.IPv4Data) {
    if (data.Gateway !== GATEWAY_MARK_V4) {
      throw refusal("Non-Calico IPAM driver is used. Note: Docker before 1.12.3 is unsupported");
    }
  }
  for (const data of request.IPv6Data) {
    if (data.Gateway !== GATEWAY_MARK_V6) throw refusal("Non-Calico IPAM driver is used");
  }
  const auxAddresses = [...request.IPv4Data, ...request.IPv6Data].flatMap((data) =>
    Object.values(data.AuxAddresses).flatMap((address) =>
      typeof address === "string" ? [parseIpAddress(address.split("/")[0] ?? "", "AuxAddresses")] : [],
    ),
  );
  return { mtu: readMtu(request.Options[GENERIC_OPTIONS]), auxAddresses };
}

/** 68 is the least an IPv4 link may have (RFC 791); Docker's own drivers take the same range. */
export function parseMtu(text: string, path: string): number {
  const mtu = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (mtu < 68 || mtu > 65_535) throw new BadInput(path, `"${text}" is no MTU`, "a number from 68 to 65535");
  return mtu;
}

function readMtu(generic: unknown): number | undefined {
  if (typeof generic !== "object" || generic === null || !(MTU_OPTION in generic)) return undefined;
  return parseMtu(String(generic[MTU_OPTION]), `--opt ${MTU_OPTION}`);
}

function refuseOption(key: string, value: unknown): void {
  if (value === false) return;
  if (value === true) throw unsupported([`--${key.startsWith(OPTION_PREFIX) ? key.slice(OPTION_PREFIX.length) : key}`]);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const names = Object.keys(value).filter((name) => key !== GENERIC_OPTIONS || !isOurs(name));
    if (names.length > 0) throw unsupported(names.sort());
    return;
  }
  throw unsupported([`${key} (${typeof value === "string" ? value : JSON.stringify(value)})`]);
}

function isOurs(option: string): boolean {
  return option === MTU_OPTION || option.startsWith(MARGAY_OPTION_PREFIX);
}

function unsupported(names: readonly string[]): OperationError {
  return refusal(`Calico driver does not support the ${names.length === 1 ? "flag" : "flags"} ${names.join(", ")}.`);
}

function refusal(text: string): OperationError {
  return new OperationError("DOCKER_NETWORK_REFUSED", text);
}
