/**
 * `--default_container_dns`: name servers for containers that name none, per network mode and, for user networks, per
 * network (mesos:include/mesos/slave/containerizer.proto, ContainerDNSInfo). Checked at start, pure afterwards.
 */

import { z } from "zod";
import { BadInput } from "../../../base/errors.ts";
import type { NetworkChoice } from "./network-choice.ts";

const dnsSettings = z.looseObject({
  nameservers: z.array(z.string()).default([]),
  search: z.array(z.string()).default([]),
  options: z.array(z.string()).default([]),
});
const defaultDns = z.looseObject({
  network_mode: z.enum(["BRIDGE", "USER"]),
  network_name: z.string().optional(),
  dns: dnsSettings,
});
const document = z.looseObject({ docker: z.array(defaultDns).default([]) });

export type DefaultContainerDns = z.output<typeof defaultDns>;
export type DnsSettings = z.output<typeof dnsSettings>;

export function parseDefaultDns(text: string): readonly DefaultContainerDns[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadInput(
      "--default_container_dns",
      "is not JSON",
      '{"docker": [{"network_mode": "BRIDGE", "dns": {...}}]}',
    );
  }
  const parsed = document.safeParse(value);
  if (parsed.success) return parsed.data.docker;
  const issue = parsed.error.issues[0];
  throw new BadInput(
    `--default_container_dns.${issue?.path.join(".") ?? ""}`,
    issue?.message ?? "is not valid",
    "a list of docker entries with network_mode BRIDGE or USER and dns",
  );
}

export function dnsForNetwork(
  defaults: readonly DefaultContainerDns[],
  choice: NetworkChoice,
): DnsSettings | undefined {
  if (choice.network === "bridge") return defaults.find((entry) => entry.network_mode === "BRIDGE")?.dns;
  if (!choice.userDefined) return undefined;
  const user = defaults.filter((entry) => entry.network_mode === "USER");
  const named = user.find((entry) => entry.network_name === choice.network);
  return (named ?? user.find((entry) => entry.network_name === undefined))?.dns;
}
