/**
 * What Docker sends to a network and IPAM driver (reference/docker.md sections 2 and 3). Unknown fields are ignored and
 * absent ones tolerated; ids become store keys, file names and interface names, so their form is checked here, once.
 */
import { z } from "zod";

/** 64 hex digits as a rule; older daemons and tests use shorter ones. */
const dockerId = z.string().regex(/^[0-9A-Za-z]{11,128}$/, "is no Docker id: 11 to 128 letters and digits expected");

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const options = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => value ?? {});
const textOptions = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

const ipamData = z.object({
  AddressSpace: text,
  Pool: text,
  Gateway: text,
  AuxAddresses: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((value) => value ?? {}),
});
export type IpamData = z.output<typeof ipamData>;
const ipamDataList = z
  .array(ipamData)
  .nullish()
  .transform((value) => value ?? []);

export const createNetworkRequest = z.object({
  NetworkID: dockerId,
  Options: options,
  IPv4Data: ipamDataList,
  IPv6Data: ipamDataList,
});
export type CreateNetworkRequest = z.output<typeof createNetworkRequest>;

export const networkRequest = z.object({ NetworkID: dockerId });
export const endpointRequest = z.object({ NetworkID: dockerId, EndpointID: dockerId });
export type EndpointRequest = z.output<typeof endpointRequest>;

export const createEndpointRequest = z.object({
  NetworkID: dockerId,
  EndpointID: dockerId,
  Interface: z
    .object({ Address: text, AddressIPv6: text, MacAddress: text })
    .nullish()
    .transform((value) => value ?? { Address: "", AddressIPv6: "", MacAddress: "" }),
  Options: options,
});
export type CreateEndpointRequest = z.output<typeof createEndpointRequest>;

export const joinRequest = z.object({ NetworkID: dockerId, EndpointID: dockerId, SandboxKey: text, Options: options });
export type JoinRequest = z.output<typeof joinRequest>;

/** Discover*, Allocate/FreeNetwork, EndpointOperInfo: read for nothing. */
export const anyRequest = z.looseObject({});

export const requestPoolRequest = z.object({
  AddressSpace: text,
  Pool: text,
  SubPool: text,
  Options: options,
  V6: z
    .boolean()
    .nullish()
    .transform((value) => value === true),
});
export type RequestPoolRequest = z.output<typeof requestPoolRequest>;

export const releasePoolRequest = z.object({ PoolID: text });
export const requestAddressRequest = z.object({ PoolID: text, Address: text, Options: textOptions });
export type RequestAddressRequest = z.output<typeof requestAddressRequest>;
export const releaseAddressRequest = z.object({ PoolID: text, Address: text });
export type ReleaseAddressRequest = z.output<typeof releaseAddressRequest>;
