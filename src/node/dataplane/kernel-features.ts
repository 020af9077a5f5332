/** What the packet filter cannot do without: tried out before anything is changed, and named when it is missing. */
import { OperationError } from "../../base/errors.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { ChainSpec, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import { established } from "./base-rules.ts";
import { acceptedBit, names } from "./chain-names.ts";

export interface KernelFeature {
  /** Short, as a kernel module is called. */
  readonly name: string;
  readonly what: string;
  /** The kernel's name of it, as it stands in a kernel configuration. */
  readonly option: string;
  readonly chain: ChainSpec;
  readonly rule: RuleSpec;
}

const filter: ChainSpec = { name: "trial", hook: { type: "filter", hook: "forward", priority: 0 } };
const nat: ChainSpec = { name: "trial", hook: { type: "nat", hook: "postrouting", priority: 100 } };

const features: readonly KernelFeature[] = [
  {
    name: "nf_tables_inet",
    what: "packet filter tables for IPv4 and IPv6 together",
    option: "CONFIG_NF_TABLES_INET",
    chain: filter,
    rule: { matches: [], actions: [{ do: "count" }, { do: "drop" }] },
  },
  {
    name: "nf_tables_set",
    what: "sets of interfaces with addresses",
    option: "CONFIG_NF_TABLES (sets of concatenations)",
    chain: filter,
    rule: {
      matches: [{ match: "interface-source-in-set", family: 4, set: names.sources4 }],
      actions: [{ do: "accept" }],
    },
  },
  {
    name: "nft_ct",
    what: "connection tracking",
    option: "CONFIG_NFT_CT",
    chain: filter,
    rule: { matches: [established], actions: [{ do: "accept" }] },
  },
  {
    name: "nft_meta",
    what: "packet marks",
    option: "CONFIG_NF_TABLES (meta mark)",
    chain: filter,
    rule: { matches: [{ match: "mark", bit: acceptedBit }], actions: [{ do: "clear-mark", bit: acceptedBit }] },
  },
  {
    name: "nft_masq",
    what: "masquerading",
    option: "CONFIG_NFT_MASQ",
    chain: nat,
    rule: { matches: [], actions: [{ do: "source-nat" }] },
  },
];

/** @throws OperationError that says what is missing. */
export function requireKernelFeatures(network: Pick<HostNetwork, "acceptsChain">): void {
  const together = [filter, nat].every((chain) =>
    network.acceptsChain(
      chain,
      features.filter((feature) => feature.chain === chain).map(({ rule }) => rule),
    ),
  );
  if (together) return;
  const missing = triedFeatures(network).flatMap(({ feature, present }) => (present ? [] : [feature]));
  if (missing.length === 0) return; // a passing trouble; the passes will tell
  throw new OperationError(
    "KERNEL_FEATURE_MISSING",
    `this kernel has no ${missing.map(({ what, option }) => `${what} (${option})`).join(", no ")}`,
    {
      remedy: "load the modules, or run a kernel that has them; nothing was changed on this host",
      retry: "after-change",
    },
  );
}

/** Each by itself. Nothing is changed. */
export function triedFeatures(
  network: Pick<HostNetwork, "acceptsChain">,
): readonly { readonly feature: KernelFeature; readonly present: boolean }[] {
  return features.map((feature) => ({ feature, present: network.acceptsChain(feature.chain, [feature.rule]) }));
}
