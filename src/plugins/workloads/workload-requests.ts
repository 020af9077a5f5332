/** What is asked of the node about workloads of this host that get a network by command; paths of the node's own API. */
import { z } from "zod";

export const attachPath = "/v1/workloads/attach";
export const detachPath = "/v1/workloads/detach";
export const addAddressPath = "/v1/workloads/add-address";
export const removeAddressPath = "/v1/workloads/remove-address";

/** Stands in keys and names of the store: what upstream's names allow. */
const identity = {
  orchestrator: z.enum(["docker", "namespace"]),
  workload: z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9])?$/, "is no id of a workload"),
};
/** Where the workload lives: /proc/PID/ns/net, or a file in /run/netns. */
const place = {
  namespacePath: z.string().startsWith("/", "is no absolute path"),
  interfaceName: z.string(),
};

export const AttachRequest = z.object({
  ...identity,
  ...place,
  /** Exactly this address, one of this pool, or any of this family. */
  wanted: z.union([
    z.object({ address: z.string() }),
    z.object({ pool: z.string() }),
    z.object({ family: z.union([z.literal(4), z.literal(6)]) }),
  ]),
});
export type AttachRequest = z.infer<typeof AttachRequest>;

export const DetachRequest = z.object(identity);
export type DetachRequest = z.infer<typeof DetachRequest>;

export const AddressRequest = z.object({ ...identity, ...place, address: z.string() });
export type AddressRequest = z.infer<typeof AddressRequest>;
