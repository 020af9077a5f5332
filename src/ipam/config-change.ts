/**
 * Changes of the configuration at `/calico/ipam/v2/config` (calico-datastore.md 6.2). Members nobody here knows are kept;
 * what would contradict itself is refused in the words of Calico's client.
 */

import { decodeIpamConfig, defaultIpamConfigText, type IpamConfig } from "../model/ipam-documents.ts";
import { parseJson, stringifyJson } from "../model/json.ts";
import { ipamError } from "./ipam-error.ts";

export interface ConfigChange extends Partial<IpamConfig> {
  /** Kept for Calico's clients; nothing of Margay reads them. */
  readonly foreign?: Readonly<{ kubeVirtVMAddressPersistence?: "Enabled" | "Disabled"; ipCooldownSeconds?: number }>;
}

/** The document after the change; the same text if it changes nothing. @throws IPAM_CONFIG_INVALID */
export function changedConfig(text: string | undefined, { foreign = {}, ...change }: ConfigChange): string {
  const before = text ?? defaultIpamConfigText;
  const current = decodeIpamConfig(before);
  const next: IpamConfig = { ...current, ...change };
  if (!next.strictAffinity && !next.autoAllocateBlocks) {
    refuse("Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time");
  }
  if (next.blocksPerHostMax > 0 && !next.strictAffinity) {
    refuse("MaxBlocksPerHost requires StrictAffinity to be enabled");
  }
  if (!Number.isSafeInteger(next.blocksPerHostMax) || next.blocksPerHostMax < 0) {
    refuse("MaxBlocksPerHost must be zero or a positive number");
  }
  const {
    strict_affinity: _strict,
    auto_allocate_blocks: _auto,
    maxBlocksPerHost: _max,
    ...others
  } = parseJson(before) as Record<string, unknown>;
  const same =
    (Object.keys(next) as (keyof IpamConfig)[]).every((name) => next[name] === current[name]) &&
    Object.entries(foreign).every(([name, value]) => others[name] === value);
  if (text !== undefined && same) return text;
  return stringifyJson({
    ...(next.strictAffinity ? { strict_affinity: true } : {}),
    auto_allocate_blocks: next.autoAllocateBlocks,
    ...(next.blocksPerHostMax > 0 ? { maxBlocksPerHost: next.blocksPerHostMax } : {}),
    ...others,
    ...foreign,
  });
}

function refuse(problem: string): never {
  throw ipamError("IPAM_CONFIG_INVALID", problem);
}
