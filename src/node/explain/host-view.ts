/** What a host's own answer tells of its interfaces, for the part of the verdict that comes from the resources. */
import { parseIpAddress } from "../../base/addresses.ts";
import type { HostView } from "../../policy/explain/host-endpoint.ts";
import type { KernelAnswer } from "./kernel-answer.ts";

/** Undefined: the answer does not say. */
export function hostViewOf({ interfaces }: KernelAnswer): HostView | undefined {
  if (interfaces === undefined) return undefined;
  const interfaceOf = new Map(
    interfaces.addresses.map(({ address, interfaceName }) => [parseIpAddress(address), interfaceName]),
  );
  return { inInterface: interfaces.in, outInterface: interfaces.out, interfaceOf };
}
