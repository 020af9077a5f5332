/** What address detection looks at, of the host this process runs on. */
import { lookup } from "node:dns/promises";
import { parseIpAddress } from "../../base/addresses.ts";
import { hostInterfaces, sourceAddressFor } from "../../kernel/host-interfaces.ts";
import type { HostSurroundings } from "./address-detection.ts";

export const localSurroundings: HostSurroundings = {
  interfaces: hostInterfaces,
  sourceAddressFor,
  async resolve(name, family) {
    try {
      return (await lookup(name, { family, all: true })).map(({ address }) => parseIpAddress(address));
    } catch {
      return []; // unknown now, or nobody to ask: either way there is no address to try
    }
  },
};
