/**
 * Where the store is and how to get in: flags, environment and Calico's configuration file, in one place.
 *
 * Order: flag > environment (CALICO_ETCD_ENDPOINTS, ETCD_ENDPOINTS, ETCD_AUTHORITY with ETCD_SCHEME)
 * > /etc/calico/calicoctl.cfg (spec.etcdEndpoints) > http://127.0.0.1:2379.
 * What is asked for but cannot be honoured (discovery by SRV record, the kubernetes datastore, TLS, users) is refused
 * with one sentence: connecting without it would be a quiet downgrade.
 */
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { BadInput, OperationError } from "../base/errors.ts";

export const configFilePath = "/etc/calico/calicoctl.cfg";
export const defaultEndpoint = "http://127.0.0.1:2379";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What calicoctl's configuration file and the environment can say about the connection. */
export interface ConnectionSettings {
  /** URLs such as http://10.0.0.1:2379, without path; never empty. */
  readonly endpoints: readonly string[];
}

interface ConfigFile {
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Endpoints to connect to; throws BadInput or OperationError STORE_UNAUTHORIZED for what is not supported. */
export function resolveEndpoints(flag: string | undefined, env: Environment, file: string = configFilePath): string[] {
  return [...resolveConnection(flag, env, file).endpoints];
}

export function resolveConnection(
  flag: string | undefined,
  env: Environment,
  file: string = configFilePath,
): ConnectionSettings {
  if (flag !== undefined) return { endpoints: parseEndpoints(flag, "--store") };

  const fromEnv = variable(env, "ETCD_ENDPOINTS");
  const discovery = variable(env, "ETCD_DISCOVERY_SRV");
  if (fromEnv !== undefined && discovery !== undefined) {
    throw new BadInput(
      "ETCD_DISCOVERY_SRV",
      'multiple discovery or bootstrap options specified, use either "etcdEndpoints" or "etcdDiscoverySrv"',
      "only one of ETCD_ENDPOINTS and ETCD_DISCOVERY_SRV",
    );
  }
  refuseUnsupported((name) => variable(env, environmentNames[name]), "environment");
  if (fromEnv !== undefined) return { endpoints: parseEndpoints(fromEnv, "ETCD_ENDPOINTS") };

  const authority = variable(env, "ETCD_AUTHORITY");
  if (authority !== undefined) {
    const scheme = variable(env, "ETCD_SCHEME") ?? "http";
    const urls = authority
      .split(",")
      .map((part) => part.trim())
      .map((part) => (part.includes("://") ? part : `${scheme}://${part}`));
    return { endpoints: parseEndpoints(urls.join(","), "ETCD_AUTHORITY") };
  }

  const spec = readConfigFile(file)?.spec;
  if (spec !== undefined) {
    refuseUnsupported((name) => textOf(spec[name], `${file}: spec.${name}`), file);
    const endpoints = textOf(spec.etcdEndpoints, `${file}: spec.etcdEndpoints`);
    if (endpoints !== undefined) return { endpoints: parseEndpoints(endpoints, `${file}: spec.etcdEndpoints`) };
  }
  return { endpoints: [defaultEndpoint] };
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
  if (url.protocol === "https:") {
    throw unsupported(`${path}: TLS (https) to the store is not supported yet`, "use an http:// endpoint");
  }
  if (url.protocol !== "http:") throw new BadInput(path, `"${text}" has the scheme ${url.protocol}`, expected);
  if (url.username !== "" || url.password !== "")
    throw new BadInput(path, "the URL holds a user or password", expected);
  if ((url.pathname !== "/" && url.pathname !== "") || url.search !== "" || url.hash !== "") {
    throw new BadInput(path, `"${text}" has a path or query`, expected);
  }
  const port = url.port === "" ? (/:80$/.test(text.replace(/\/$/, "")) ? "80" : "2379") : url.port;
  return `http://${url.hostname}:${port}`;
}

const environmentNames = {
  datastoreType: "DATASTORE_TYPE",
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

function refuseUnsupported(read: (name: SettingName) => string | undefined, where: string): void {
  const type = read("datastoreType");
  if (type !== undefined && type !== "etcdv3") {
    throw new BadInput(`${where}: datastoreType`, `"${type}" is not supported`, "etcdv3");
  }
  if (read("etcdDiscoverySrv") !== undefined) {
    throw unsupported(`${where}: discovery of etcd by SRV record is not supported`, "list the endpoints instead");
  }
  if (read("etcdUsername") !== undefined && read("etcdPassword") !== undefined) {
    throw unsupported(`${where}: etcd users and passwords are not supported yet`, "remove etcdUsername/etcdPassword");
  }
  for (const name of ["etcdKeyFile", "etcdCertFile", "etcdCACertFile", "etcdKey", "etcdCert", "etcdCACert"] as const) {
    if (read(name) !== undefined) {
      throw unsupported(`${where}: ${name} is set, but TLS to the store is not supported yet`, `remove ${name}`);
    }
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

function readConfigFile(file: string): ConfigFile | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new OperationError("STORE_CONFIG_UNREADABLE", `cannot read ${file}`, { cause: error, retry: "after-change" });
  }
  const expected = "kind: CalicoAPIConfig, apiVersion: projectcalico.org/v3, spec: {...}";
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    throw new BadInput(file, `not YAML: ${error instanceof Error ? error.message : String(error)}`, expected);
  }
  if (!isRecord(document)) throw new BadInput(file, "not a mapping", expected);
  if (document.kind !== undefined && document.kind !== "CalicoAPIConfig") {
    throw new BadInput(`${file}: kind`, `"${String(document.kind)}"`, "CalicoAPIConfig");
  }
  const spec = document.spec;
  if (spec === undefined || spec === null) return {};
  if (!isRecord(spec)) throw new BadInput(`${file}: spec`, "not a mapping", expected);
  return { spec };
}

function textOf(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw new BadInput(path, "not a text", "a text");
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
