/** `calicoctl ipam configure` (calicoctl.md 4.7): the configuration that addresses are given out by. */

import type { OperationError } from "../../../base/errors.ts";
import type { ConfigChange } from "../../../ipam/config-change.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { isIpamError } from "../../../ipam/ipam-error.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { readWords } from "./words.ts";

export const ipamConfigureUsage = `Usage:
  calicoctl ipam configure [--strictaffinity=true|false] [--max-blocks-per-host=N]
                           [--kubevirt-ip-persistence=Enabled|Disabled] [--ip-cooldown-seconds=N]
`;

export const ipamConfigureHelp = `Changes how addresses are given out; what is assigned stays.

${ipamConfigureUsage}
Options:
      --strictaffinity=BOOL       a host takes addresses of its own blocks only
      --max-blocks-per-host=N     blocks a host may own; 0 is no limit of its own; needs strict affinity
      --kubevirt-ip-persistence=  Enabled or Disabled: kept for Calico's clients on Kubernetes
      --ip-cooldown-seconds=N     0 to 1200: kept for Calico's clients; Margay reuses the address freed longest ago first

Examples:
  calicoctl ipam configure --strictaffinity=true
  calicoctl ipam configure --strictaffinity=true --max-blocks-per-host=4
`;

const cooldownSecondsMax = 1200;
const failure = (problem: string) => new CommandFailure("stderr", `${problem}\n`);

export async function ipamConfigure({ io, store, clock }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    {
      strictaffinity: { type: "string" },
      "max-blocks-per-host": { type: "string" },
      "kubevirt-ip-persistence": { type: "string" },
      "ip-cooldown-seconds": { type: "string" },
    },
    ipamConfigureUsage,
  );
  if (positionals.length > 0) throw new UsageError(ipamConfigureUsage);
  const changes = Object.entries(values).map(([flag, text]) => wanted(flag, text ?? ""));
  if (changes.length === 0) throw failure("at least one configuration option must be specified");
  const foreign = Object.assign({}, ...changes.map(({ change }) => change.foreign));
  const change: ConfigChange = Object.assign({}, ...changes.map(({ change }) => change), { foreign });
  try {
    await new Ipam({ store: await store(), clock }).changeConfig(change);
  } catch (error) {
    if (isIpamError(error, "IPAM_CONFIG_INVALID")) throw failure(`error: ${(error as OperationError).message}`);
    throw error;
  }
  for (const { name, shown } of changes) io.stdout(`Successfully set ${name} to: ${shown}\n`);
  return 0;
}

interface Wanted {
  readonly name: string;
  readonly shown: string;
  readonly change: ConfigChange;
}

/** @throws CommandFailure for a value that is none */
function wanted(flag: string, text: string): Wanted {
  switch (flag) {
    case "strictaffinity": {
      const value = /^(1|t|true)$/i.test(text) ? true : /^(0|f|false)$/i.test(text) ? false : undefined;
      if (value === undefined) throw failure("invalid value. Use true or false to set strictaffinity");
      return { name: "StrictAffinity", shown: String(value), change: { strictAffinity: value } };
    }
    case "max-blocks-per-host": {
      if (!/^\d{1,9}$/.test(text)) throw failure("invalid value for maxblockhost. Use a valid number");
      return { name: "MaxBlocksPerHost", shown: String(Number(text)), change: { blocksPerHostMax: Number(text) } };
    }
    case "kubevirt-ip-persistence": {
      if (text !== "Enabled" && text !== "Disabled") {
        throw failure("invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled");
      }
      const foreign = { kubeVirtVMAddressPersistence: text } as const;
      return { name: "KubeVirtVMAddressPersistence", shown: text, change: { foreign } };
    }
    default: {
      const seconds = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
      if (!(seconds <= cooldownSecondsMax)) {
        throw failure(`invalid value for --ip-cooldown-seconds. Use a number from 0 to ${cooldownSecondsMax}`);
      }
      return { name: "IPCooldownSeconds", shown: String(seconds), change: { foreign: { ipCooldownSeconds: seconds } } };
    }
  }
}
