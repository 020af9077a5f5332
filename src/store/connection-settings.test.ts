/** Which endpoints come of which flags, variables and files, and what is refused, as tables. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "../base/errors.ts";
import { resolveConnection } from "./connection-settings.ts";

const directory = mkdtempSync(join(tmpdir(), "margay-settings-"));
afterAll(() => rmSync(directory, { recursive: true }));
const absent = join(directory, "absent.cfg");

function fileWith(text: string): string {
  const path = join(directory, `${crypto.randomUUID()}.cfg`);
  writeFileSync(path, text);
  return path;
}

function pem(text: string): string {
  const path = join(directory, `${text}.pem`);
  writeFileSync(path, text);
  return path;
}

const configured = fileWith(`kind: CalicoAPIConfig
apiVersion: projectcalico.org/v3
spec:
  datastoreType: etcdv3
  etcdEndpoints: http://10.0.0.1:2379,http://10.0.0.2:2379
`);

const resolved: readonly [
  name: string,
  flag: string | undefined,
  env: Record<string, string>,
  file: string,
  endpoints: string[],
][] = [
  ["nothing said: this machine", undefined, {}, absent, ["http://127.0.0.1:2379"]],
  [
    "empty variables count as not set",
    undefined,
    { ETCD_ENDPOINTS: "", ETCD_AUTHORITY: " " },
    absent,
    ["http://127.0.0.1:2379"],
  ],
  ["the flag wins over everything", "http://a:1", { ETCD_ENDPOINTS: "http://b:1" }, configured, ["http://a:1"]],
  [
    "the flag may name several, with and without scheme",
    "http://a:1, b:2,b:2",
    {},
    absent,
    ["http://a:1", "http://b:2"],
  ],
  ["a port left out is etcd's", "http://a,b", {}, absent, ["http://a:2379", "http://b:2379"]],
  ["port 80 said is port 80", "http://a:80/", {}, absent, ["http://a:80"]],
  ["IPv6 keeps its brackets", "http://[fd00::1]:2379", {}, absent, ["http://[fd00::1]:2379"]],
  [
    "the CALICO_ variable wins over the bare one",
    undefined,
    { CALICO_ETCD_ENDPOINTS: "http://a:1", ETCD_ENDPOINTS: "http://b:1" },
    configured,
    ["http://a:1"],
  ],
  [
    "endpoints win over the authority",
    undefined,
    { ETCD_ENDPOINTS: "http://a:1", ETCD_AUTHORITY: "b:1" },
    absent,
    ["http://a:1"],
  ],
  [
    "the old authority is host:port",
    undefined,
    { ETCD_AUTHORITY: "127.0.0.1:4001" },
    configured,
    ["http://127.0.0.1:4001"],
  ],
  ["with its scheme", undefined, { ETCD_AUTHORITY: "h:1", ETCD_SCHEME: "http" }, absent, ["http://h:1"]],
  ["the file is read last", undefined, {}, configured, ["http://10.0.0.1:2379", "http://10.0.0.2:2379"]],
  [
    "a user without a password is no user",
    undefined,
    { ETCD_USERNAME: "u", ETCD_ENDPOINTS: "http://a:1" },
    absent,
    ["http://a:1"],
  ],
];
for (const [name, flag, env, file, endpoints] of resolved) {
  test(name, () => expect<readonly string[]>(resolveConnection(flag, env, file).endpoints).toEqual(endpoints));
}

const secured = fileWith(`spec:
  etcdEndpoints: https://10.0.0.1:2379
  etcdUsername: root
  etcdPassword: secret
  etcdCACert: ca of the file
`);
const inEnv = {
  ETCD_KEY_FILE: pem("key"),
  CALICO_ETCD_CERT_FILE: pem("cert"),
  ETCD_USERNAME: "me",
  ETCD_PASSWORD: "pass",
};

const credentials: readonly [
  name: string,
  flag: string | undefined,
  env: Record<string, string>,
  file: string,
  settings: object,
][] = [
  [
    "certificates and user of the file go to its endpoints",
    undefined,
    {},
    secured,
    {
      endpoints: ["https://10.0.0.1:2379"],
      source: secured,
      tls: { ca: "ca of the file", cert: undefined, key: undefined },
      user: { name: "root", password: "secret" },
    },
  ],
  [
    "and nowhere else",
    undefined,
    { ETCD_ENDPOINTS: "http://a:1" },
    secured,
    { endpoints: ["http://a:1"], source: "ETCD_ENDPOINTS" },
  ],
  ["not to a flag's endpoint either", "http://a:1", {}, secured, { endpoints: ["http://a:1"], source: "--store" }],
  [
    "those of the environment count instead of the file's, as a whole",
    undefined,
    inEnv,
    secured,
    {
      endpoints: ["https://10.0.0.1:2379"],
      source: secured,
      tls: { ca: undefined, cert: "cert", key: "key" },
      user: { name: "me", password: "pass" },
    },
  ],
  [
    "the old authority with its scheme",
    undefined,
    { ETCD_AUTHORITY: "a:1", ETCD_SCHEME: "https" },
    absent,
    { endpoints: ["https://a:1"], source: "ETCD_AUTHORITY" },
  ],
  [
    "port 443 said is port 443",
    "https://a:443,https://b",
    {},
    absent,
    { endpoints: ["https://a:443", "https://b:2379"], source: "--store" },
  ],
  [
    "an empty file says nothing",
    undefined,
    {},
    fileWith(""),
    { endpoints: ["http://127.0.0.1:2379"], source: undefined },
  ],
  [
    "settings of Kubernetes may stand there",
    undefined,
    {},
    fileWith("spec: {k8sClientQPS: 5, kubeconfig: x, etcdEndpoints: 'a:1'}"),
    { endpoints: ["http://a:1"], source: expect.any(String) },
  ],
];
for (const [name, flag, env, file, settings] of credentials) {
  test(name, () => expect<object>(resolveConnection(flag, env, file)).toEqual(settings));
}

const refusedInputs: readonly [
  name: string,
  flag: string | undefined,
  env: Record<string, string>,
  file: string,
  sentence: string,
][] = [
  ["another scheme", "ftp://a", {}, absent, "ftp:"],
  ["a path", "http://a:1/x", {}, absent, "path or query"],
  ["a password in the URL", "http://u:p@a:1", {}, absent, "holds a user or password"],
  ["nothing", " , ", {}, absent, "no etcd endpoints specified"],
  [
    "a key without its certificate",
    undefined,
    { ETCD_KEY_FILE: pem("key"), ETCD_ENDPOINTS: "https://a:1" },
    absent,
    "a certificate and its key are only of use together",
  ],
  [
    "a certificate that is not there",
    undefined,
    { ETCD_CA_CERT_FILE: "/nonexistent", ETCD_ENDPOINTS: "https://a:1" },
    absent,
    "environment: etcdCACertFile: cannot read /nonexistent",
  ],
  [
    "certificates for an endpoint without TLS",
    undefined,
    { ETCD_CA_CERT_FILE: pem("ca"), ETCD_ENDPOINTS: "https://a:1,http://b:1" },
    absent,
    "certificates are set, but http://b:1 is without TLS",
  ],
  ["a domain that is none", undefined, { ETCD_DISCOVERY_SRV: "a b" }, absent, '"a b" is no domain'],
  ["a domain of a file that is none", undefined, {}, fileWith("spec: {etcdDiscoverySrv: a..b}"), '"a..b" is no domain'],
  [
    "endpoints and discovery in a file",
    undefined,
    {},
    fileWith("spec: {etcdDiscoverySrv: e, etcdEndpoints: 'http://a:1'}"),
    'use either "etcdEndpoints" or "etcdDiscoverySrv"',
  ],
  [
    "endpoints and discovery",
    undefined,
    { ETCD_DISCOVERY_SRV: "e", ETCD_ENDPOINTS: "http://a" },
    absent,
    'use either "etcdEndpoints" or "etcdDiscoverySrv"',
  ],
  ["Kubernetes", undefined, { DATASTORE_TYPE: "kubernetes" }, absent, '"kubernetes" is not supported'],
  [
    "Kubernetes in the file",
    undefined,
    {},
    fileWith("spec: {datastoreType: kubernetes}"),
    '"kubernetes" is not supported',
  ],
  [
    "a certificate in the file both ways",
    undefined,
    {},
    fileWith(`spec: {etcdEndpoints: "https://a:1", etcdCACertFile: ${pem("ca")}, etcdCACert: x}`),
    "etcdCACert and etcdCACertFile are both set",
  ],
  [
    "a misspelt setting",
    undefined,
    {},
    fileWith("spec: {etcdEndpoint: a}"),
    'failed to parse config as YAML/JSON: unknown field "etcdEndpoint"',
  ],
  ["a field beside the spec", undefined, {}, fileWith("etcdEndpoints: a"), 'unknown field "etcdEndpoints"'],
  ["another version", undefined, {}, fileWith("apiVersion: v1"), "invalid config file: unknown APIVersion 'v1'"],
  [
    "a file of another kind",
    undefined,
    {},
    fileWith("kind: Deployment"),
    "expected kind 'CalicoAPIConfig', got 'Deployment'",
  ],
  ["a file that is no mapping", undefined, {}, fileWith("- a"), "not a mapping"],
  ["a file that is no YAML", undefined, {}, fileWith("a: [b"), "failed to parse config as YAML/JSON: "],
  ["endpoints that are no text", undefined, {}, fileWith("spec: {etcdEndpoints: [a]}"), "not a text"],
];
for (const [name, flag, env, file, sentence] of refusedInputs) {
  test(`refused in a sentence: ${name}`, () => {
    let message = "accepted";
    try {
      resolveConnection(flag, env, file);
    } catch (error) {
      message = describeError(error);
    }
    expect(message).toContain(sentence);
    expect(message).not.toContain("\n");
  });
}
