/**
 * Where etcd is by DNS, as etcd's own clients find it: _etcd-client-ssl._tcp.DOMAIN names members with TLS,
 * _etcd-client._tcp.DOMAIN those without. When there are some with TLS the others do not count: who can forge one answer
 * must not be able to take TLS away.
 */
import { Resolver } from "node:dns/promises";
import { describeError } from "../base/errors.ts";
import { unavailable } from "./etcd-error.ts";

export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** Rejects when there are none, or nobody to ask. */
export type ResolveSrv = (name: string) => Promise<readonly SrvRecord[]>;

const kinds = [
  ["https", "_etcd-client-ssl._tcp"],
  ["http", "_etcd-client._tcp"],
] as const;

const askSystem: ResolveSrv = (name) => new Resolver({ timeout: 2_000, tries: 2 }).resolveSrv(name);

/** The most preferred first (RFC 2782). @throws EtcdError STORE_UNAVAILABLE */
export async function discoverEndpoints(
  domain: string,
  { needsTls, resolveSrv = askSystem }: { readonly needsTls: boolean; readonly resolveSrv?: ResolveSrv },
): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const [scheme, service] of kinds) {
    if (needsTls && scheme === "http") continue;
    const name = `${service}.${domain}`;
    try {
      const records = [...(await resolveSrv(name))].sort((a, b) => a.priority - b.priority || b.weight - a.weight);
      const endpoints = records.map((record) => `${scheme}://${record.name.replace(/\.$/, "")}:${record.port}`);
      if (endpoints.length > 0) return [...new Set(endpoints)];
      failures.push(`${name}: no records`);
    } catch (error) {
      failures.push(`${name}: ${describeError(error)}`);
    }
  }
  throw unavailable(`DNS names no etcd: ${failures.join("; ")}`);
}
