/**
 * Running a command on a virtual host: in all of its namespaces, in the caller's directory, with the old stack's
 * commands first on PATH and settings that make `docker`, `calicoctl` and `etcdctl` work without options.
 */

import type { AddressPlan } from "./address-plan.ts";
import { shimFolder } from "./host-files.ts";
import { enterWords, systemPath } from "./host-namespaces.ts";
import { storePort } from "./host-services.ts";

export interface ExecTarget {
  readonly pid: number;
  readonly lab: string;
  readonly storeEndpoint: string;
}

/** Proxies lead out of the machine; a virtual host's own world is the lab. */
const unset =
  /^(https?|ftp|no|all)_proxy$|^DOCKER_(HOST|CONTEXT|CERT_PATH|TLS_VERIFY)$|^MARGAY_(LAB_HOLDER|CALLED_AS)$/i;

export function execEnvironment(
  target: ExecTarget,
  caller: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const env: Record<string, string> = { HOME: "/root", LANG: "C.UTF-8" };
  for (const [name, value] of Object.entries(caller)) if (value !== undefined && !unset.test(name)) env[name] = value;
  return {
    ...env,
    PATH: `${shimFolder}:${systemPath}`,
    ETCDCTL_API: "3",
    ETCDCTL_ENDPOINTS: caller.ETCDCTL_ENDPOINTS ?? target.storeEndpoint,
    MARGAY_LAB: target.lab,
  };
}

/** What services and tests start with: nothing of the caller's. */
export function serviceEnvironment(lab: string): Readonly<Record<string, string>> {
  const { MARGAY_LOG } = process.env;
  return {
    HOME: "/root",
    LANG: "C.UTF-8",
    PATH: `${shimFolder}:${systemPath}`,
    MARGAY_LAB: lab,
    ...(MARGAY_LOG === undefined ? {} : { MARGAY_LOG }),
  };
}

/** @param cwd on the host; `/` when the host does not have it. */
export function execWords(pid: number, words: readonly string[], cwd: string): readonly string[] {
  // nsenter leaves at the root of the new mount namespace; env changes directory without a shell and passes on the exit code.
  return [...enterWords(pid), "env", "-C", cwd, ...words];
}

export function storeEndpointOf(plan: AddressPlan): string {
  return `http://${plan.hosts[0]?.address}:${storePort}`;
}
