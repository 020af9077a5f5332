/** Which endpoints come of which flags, variables and files, and what is refused, as tables. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "../base/errors.ts";
import { resolveEndpoints } from "./connection-settings.ts";

const directory = mkdtempSync(join(tmpdir(), "margay-settings-"));
afterAll(() => rmSync(directory, { recursive: true }));
const absent = join(directory, "absent.cfg");

function fileWith(text: string): string {
  const path = join(directory, `${crypto.randomUUID()}.cfg`);
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
  test(name, () => expect(resolveEndpoints(flag, env, file)).toEqual(endpoints));
}

const refusedInputs: readonly [
  name: string,
  flag: string | undefined,
  env: Record<string, string>,
  file: string,
  sentence: string,
][] = [
  ["https", "https://a:2379", {}, absent, "TLS (https) to the store is not supported yet"],
  [
    "the old authority with https",
    undefined,
    { ETCD_AUTHORITY: "a:1", ETCD_SCHEME: "https" },
    absent,
    "TLS (https) to the store",
  ],
  ["another scheme", "ftp://a", {}, absent, "ftp:"],
  ["a path", "http://a:1/x", {}, absent, "path or query"],
  ["a password in the URL", "http://u:p@a:1", {}, absent, "holds a user or password"],
  ["nothing", " , ", {}, absent, "no etcd endpoints specified"],
  [
    "a key file",
    undefined,
    { ETCD_KEY_FILE: "/k", ETCD_ENDPOINTS: "http://a:1" },
    absent,
    "etcdKeyFile is set, but TLS",
  ],
  [
    "users",
    undefined,
    { ETCD_USERNAME: "u", CALICO_ETCD_PASSWORD: "p" },
    absent,
    "users and passwords are not supported",
  ],
  ["discovery", undefined, { ETCD_DISCOVERY_SRV: "example.org" }, absent, "SRV record is not supported"],
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
    "a certificate in the file",
    undefined,
    {},
    fileWith("spec: {etcdCACertFile: /ca}"),
    "etcdCACertFile is set, but TLS",
  ],
  ["a file of another kind", undefined, {}, fileWith("kind: Deployment"), "Deployment"],
  ["a file that is no mapping", undefined, {}, fileWith("- a"), "not a mapping"],
  ["a file that is no YAML", undefined, {}, fileWith("a: [b"), "not YAML"],
  ["endpoints that are no text", undefined, {}, fileWith("spec: {etcdEndpoints: [a]}"), "not a text"],
];
for (const [name, flag, env, file, sentence] of refusedInputs) {
  test(`refused in a sentence: ${name}`, () => {
    let message = "accepted";
    try {
      resolveEndpoints(flag, env, file);
    } catch (error) {
      message = describeError(error);
    }
    expect(message).toContain(sentence);
    expect(message).not.toContain("\n");
  });
}
