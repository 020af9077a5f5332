/**
 * Where the store is and how to get in: flags, environment and Calico's configuration file, in one place.
 *
 * Order: flag > environment (CALICO_ETCD_ENDPOINTS, ETCD_ENDPOINTS, ETCD_AUTHORITY with ETCD_SCHEME)
 * > /etc/calico/calicoctl.cfg (spec.etcdEndpoints) > http://127.0.0.1:2379.
 * - Certificates, user and password come from the environment, else, if the endpoints come from the file, from the file:
 *   those of one store are not shown to another.
 * - Beside the endpoints, environment and file may name a domain whose SRV records name them; not both.
 * - What is asked for but cannot be honoured (the kubernetes datastore, certificates for a plain http endpoint) is refused with one sentence: connecting without it would be a quiet downgrade.
 */
import { readFileSync } from "node:fs";
import { BadInput, OperationError } from "../base/errors.ts";
import { readConfigFile } from "./config-file.ts";
import type { EtcdConnectionOptions } from "./etcd-connection.ts";

export const configFilePath = "/etc/calico/calicoctl.cfg";
export const defaultEndpoint = "http://127.0.0.1:2379";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What flags, environment and file can say about the connection. */
export interface ConnectionSettings extends Pick<EtcdConnectionOptions, "tls" | "user" | "discovery"> {
  /** URLs such as http://10.0.0.1:2379, without path; empty only where DNS is to be asked. */
  readonly endpoints: readonly string[];
  /** Who named the endpoints: "--store", "ETCD_ENDPOINTS", a file; undefined: nobody. */
  readonly source: string | undefined;
}

/** @throws BadInput, or OperationError STORE_UNAUTHORIZED for what is not supported */
export function resolveConnection(
  flag: string | undefined,
  env: Environment,
  file: string = configFilePath,
): ConnectionSettings {
  const fromEnv: Read = (name) => variable(env, environmentNames[name]);
  const named = endpointsNamed(flag, env);
  if (flag === undefined) refuseUnsupported(fromEnv, "environment");
  if (named !== undefined) return settingsOf(named, fromEnv, "environment");
  const spec = readConfigFile(file);
  const fromFile: Read = (name) => textOf(spec?.[name], `${file}: spec.${name}`);
  if (spec !== undefined) refuseUnsupported(fromFile, file);
  const parsed = namedBy(fromFile, `${file}: spec.`, file);
  if (parsed === undefined)
    return settingsOf({ endpoints: [defaultEndpoint], source: undefined }, fromEnv, "environment");
  const anyInEnv = credentialNames.some((name) => fromEnv(name) !== undefined);
  return anyInEnv ? settingsOf(parsed, fromEnv, "environment") : settingsOf(parsed, fromFile, file);
}

type Named = Pick<ConnectionSettings, "endpoints" | "discovery" | "source">;
type Read = (name: SettingName) => string | undefined;

/** By a flag or by the environment. */
function endpointsNamed(flag: string | undefined, env: Environment): Named | undefined {
  if (flag !== undefined) return { endpoints: parseEndpoints(flag, "--store"), source: "--store" };
  const fromEnv = namedBy((name) => variable(env, environmentNames[name]), "", undefined);
  if (fromEnv !== undefined) return fromEnv;
  const authority = variable(env, "ETCD_AUTHORITY");
  if (authority === undefined) return undefined;
  const scheme = variable(env, "ETCD_SCHEME") ?? "http";
  const urls = authority
    .split(",")
    .map((part) => part.trim())
    .map((part) => (part.includes("://") ? part : `${scheme}://${part}`));
  return { endpoints: parseEndpoints(urls.join(","), "ETCD_AUTHORITY"), source: "ETCD_AUTHORITY" };
}

/** By endpoints or by a domain, not by both. @param source undefined: the variable */
function namedBy(read: Read, before: string, source: string | undefined): Named | undefined {
  const where = (name: "etcdEndpoints" | "etcdDiscoverySrv") =>
    source === undefined ? environmentNames[name] : `${before}${name}`;
  const [text, domain] = [read("etcdEndpoints"), read("etcdDiscoverySrv")];
  if (text !== undefined && domain !== undefined) {
    throw new BadInput(
      where("etcdDiscoverySrv"),
      'multiple discovery or bootstrap options specified, use either "etcdEndpoints" or "etcdDiscoverySrv"',
      `only one of ${where("etcdEndpoints")} and ${where("etcdDiscoverySrv")}`,
    );
  }
  if (domain !== undefined) {
    const path = where("etcdDiscoverySrv");
    return { endpoints: [], discovery: checkDomain(domain, path), source: source ?? path };
  }
  if (text === undefined) return undefined;
  const path = where("etcdEndpoints");
  return { endpoints: parseEndpoints(text, path), source: source ?? path };
}

function checkDomain(text: string, path: string): string {
  const domain = text.replace(/\.$/, "");
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?$/i;
  if (domain.length > 200 || !domain.split(".").every((part) => label.test(part)))
    throw new BadInput(path, `"${text}" is no domain`, "a name such as example.org");
  return domain;
}

function settingsOf(named: Named, read: Read, where: string): ConnectionSettings {
  const [name, password] = [read("etcdUsername"), read("etcdPassword")];
  const tls = tlsOf(read, where);
  const plain = named.endpoints.find((endpoint) => !endpoint.startsWith("https:"));
  if (tls !== undefined && plain !== undefined) {
    throw unsupported(`${where}: certificates are set, but ${plain} is without TLS`, "make it https://");
  }
  return {
    ...named,
    ...(tls === undefined ? {} : { tls }),
    // Used only if both are set, as by Calico's client.
    ...(name === undefined || password === undefined ? {} : { user: { name, password } }),
  };
}

function tlsOf(read: Read, where: string): ConnectionSettings["tls"] {
  const pem = (inline: SettingName, file: SettingName): string | undefined => {
    const [text, path] = [read(inline), read(file)];
    if (text !== undefined && path !== undefined) {
      throw new BadInput(where, `${inline} and ${file} are both set`, "only one of them");
    }
    return path === undefined ? text : pemIn(path, `${where}: ${file}`);
  };
  const ca = pem("etcdCACert", "etcdCACertFile");
  const cert = pem("etcdCert", "etcdCertFile");
  const key = pem("etcdKey", "etcdKeyFile");
  if ((cert === undefined) !== (key === undefined)) {
    throw new BadInput(where, "a certificate and its key are only of use together", "both or none");
  }
  if (ca === undefined && cert === undefined) return undefined;
  return { ca, cert, key };
}

function pemIn(path: string, where: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new OperationError("STORE_CONFIG_UNREADABLE", `${where}: cannot read ${path}`, {
      cause,
      retry: "after-change",
    });
  }
}

/** Parses a comma-separated list of URLs; `host:port` alone means http. */
export function parseEndpoints(text: string, path: string): string[] {
  const endpoints: string[] = [];
  for (const part of text.split(",").map((word) => word.trim())) {
    if (part === "") continue;
    const endpoint = parseEndpoint(part, path);
    if (!endpoints.includes(endpoint)) endpoints.push(endpoint);
  }
  if (endpoints.length === 0) throw new BadInput(path, "no etcd endpoints specified", "http://HOST:PORT[,...]");
  return endpoints;
}

function parseEndpoint(text: string, path: string): string {
  const expected = "http://HOST:PORT";
  let url: URL;
  try {
    url = new URL(text.includes("://") ? text : `http://${text}`);
  } catch {
    throw new BadInput(path, `"${text}" is not a URL`, expected);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new BadInput(path, `"${text}" has the scheme ${url.protocol}`, expected);
  }
  if (url.username !== "" || url.password !== "")
    throw new BadInput(path, "the URL holds a user or password", expected);
  if ((url.pathname !== "/" && url.pathname !== "") || url.search !== "" || url.hash !== "") {
    throw new BadInput(path, `"${text}" has a path or query`, expected);
  }
  // A URL forgets the port that its scheme implies; the one that nobody named is etcd's.
  const implied = { "http:": "80", "https:": "443" }[url.protocol];
  const port = url.port || (new RegExp(`:${implied}/?$`).test(text) ? implied : "2379");
  return `${url.protocol}//${url.hostname}:${port}`;
}

const environmentNames = {
  datastoreType: "DATASTORE_TYPE",
  etcdEndpoints: "ETCD_ENDPOINTS",
  etcdDiscoverySrv: "ETCD_DISCOVERY_SRV",
  etcdUsername: "ETCD_USERNAME",
  etcdPassword: "ETCD_PASSWORD",
  etcdKeyFile: "ETCD_KEY_FILE",
  etcdCertFile: "ETCD_CERT_FILE",
  etcdCACertFile: "ETCD_CA_CERT_FILE",
  etcdKey: "ETCD_KEY",
  etcdCert: "ETCD_CERT",
  etcdCACert: "ETCD_CA_CERT",
} as const;
type SettingName = keyof typeof environmentNames;

const credentialNames: readonly SettingName[] = [
  "etcdUsername",
  "etcdPassword",
  "etcdKeyFile",
  "etcdCertFile",
  "etcdCACertFile",
  "etcdKey",
  "etcdCert",
  "etcdCACert",
];

function refuseUnsupported(read: Read, where: string): void {
  const type = read("datastoreType");
  if (type !== undefined && type !== "etcdv3") {
    throw new BadInput(`${where}: datastoreType`, `"${type}" is not supported`, "etcdv3");
  }
}

function unsupported(message: string, remedy: string): OperationError {
  return new OperationError("STORE_UNAUTHORIZED", message, { remedy, retry: "never" });
}

/** Each variable counts with the CALICO_ prefix first, then bare; empty is unset. */
function variable(env: Environment, name: string): string | undefined {
  const value = env[`CALICO_${name}`] || env[name];
  return value === undefined || value.trim() === "" ? undefined : value.trim();
}

function textOf(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw new BadInput(path, "not a text", "a text");
  return value;
}
