/** What of calico/node's environment is refused, and with which words; the name of a host. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readStartUp, type StartUpOptions, startUpLogLevel } from "./calico-environment.ts";
import type { Environment } from "./environment-words.ts";
import { LocalHost } from "./local-host.ts";
import { determineNodeName, keepNodeName } from "./node-name.ts";

const refused: readonly [env: Environment, text: string][] = [
  [{ IP: "10.0.0.300" }, 'IP: "10.0.0.300" is not an IP address'],
  [{ IP: "fd00::1" }, 'IP: "fd00::1" is not an IPv4 address'],
  [{ IP: "10.0.0.1/33" }, 'IP: "10.0.0.1/33" is not an IPv4 address'],
  [{ IP6: "10.0.0.1" }, 'IP6: "10.0.0.1" is not an IPv6 address'],
  [{ IP_AUTODETECTION_METHOD: "kubernetes-internal-ip" }, "IP_AUTODETECTION_METHOD: kubernetes-internal-ip asks"],
  [{ IP6_AUTODETECTION_METHOD: "x" }, 'IP6_AUTODETECTION_METHOD: "x" is no detection method'],
  [{ AS: "64512x" }, 'AS: "64512x" is no AS number'],
  [{ AUTODETECT_POLL_INTERVAL: "0" }, 'AUTODETECT_POLL_INTERVAL: "0" is no interval'],
  [{ CALICO_IPV4POOL_IPIP: "Always" }, "CALICO_IPV4POOL_IPIP: Always: packets between hosts are routed here"],
  [{ CALICO_IPV4POOL_IPIP: "CrossSubnet" }, "CALICO_IPV4POOL_IPIP: CrossSubnet: packets between hosts are routed"],
  [{ CALICO_IPV6POOL_VXLAN: "Always" }, "CALICO_IPV6POOL_VXLAN: Always: packets between hosts are routed here"],
  [{ CALICO_IPV4POOL_VXLAN: "Often" }, 'CALICO_IPV4POOL_VXLAN: "Often" is not known'],
  [{ CALICO_IPV4POOL_BLOCK_SIZE: "19" }, 'CALICO_IPV4POOL_BLOCK_SIZE: "19" is no block size'],
  [{ CALICO_IPV4POOL_CIDR: "fd00::/48" }, "CALICO_IPV4POOL_CIDR: fd00::/48 is not an IPv4 range"],
  [{ CALICO_IPV4POOL_CIDR: "10.0.0.0/27" }, "IP pool size is too small"],
  [{ CALICO_IPV4POOL_CIDR: "10.0.0.0/16", CALICO_IPV4POOL_NODE_SELECTOR: "has(" }, "NodeSelector"],
  [{ CALICO_IPV4POOL_NAT_OUTGOING: "maybe" }, 'CALICO_IPV4POOL_NAT_OUTGOING: "maybe" is neither true nor false'],
  [{ NO_DEFAULT_POOLS: "perhaps" }, 'NO_DEFAULT_POOLS: "perhaps" is neither true nor false'],
  [{ CALICO_NETWORKING_BACKEND: "bird" }, "CALICO_NETWORKING_BACKEND: bird: the node writes the routes"],
  [{ CALICO_NETWORKING_BACKEND: "vxlan" }, "CALICO_NETWORKING_BACKEND: vxlan: the node writes the routes"],
  [{ CALICO_NETWORKING_BACKEND: "x" }, 'CALICO_NETWORKING_BACKEND: "x" is not known'],
  [{ CALICO_NETWORKING: "true" }, "CALICO_NETWORKING: true asks for BGP"],
  [{ CALICO_DISABLE_FELIX: "true" }, "CALICO_DISABLE_FELIX: true asks for a host without policy"],
  [{ CALICO_K8S_NODE_REF: "n1" }, "CALICO_K8S_NODE_REF: there is no Kubernetes here"],
  [{ FELIX_TYPHAADDR: "10.0.0.1:5473" }, "FELIX_TYPHAADDR: this node reads the datastore itself"],
];
for (const [env, text] of refused) {
  test(`refused: ${JSON.stringify(env)}`, () => expect(() => readStartUp({}, env)).toThrow(text));
}

const refusedOptions: readonly [options: StartUpOptions, text: string][] = [
  [{ ip: "x" }, '--ip: "x" is not an IP address'],
  [{ ip6: "10.0.0.1" }, '--ip6: "10.0.0.1" is not an IPv6 address'],
  [{ poolCidr: "10.0.0.0/40" }, '--pool-cidr: "10.0.0.0/40" is not a CIDR'],
];
for (const [options, text] of refusedOptions) {
  test(`refused: ${JSON.stringify(options)}`, () => expect(() => readStartUp(options, {})).toThrow(text));
}

test("what asks for nothing that is not done is let pass", () => {
  const env = {
    CALICO_NETWORKING_BACKEND: "none",
    CALICO_NETWORKING: "false",
    CALICO_DISABLE_FELIX: "false",
    CALICO_DISABLE_FILE_LOGGING: "true",
    WAIT_FOR_DATASTORE: "true",
    CALICO_ROUTER_ID: "hash",
    AUTODETECT_POLL_INTERVAL: "90s",
    DISABLE_NODE_IP_CHECK: "TRUE",
  };
  expect(readStartUp({}, env)).toMatchObject({ redetectEveryMs: 90_000, allowDuplicateAddress: true });
  expect(readStartUp({}, {})).toMatchObject({ redetectEveryMs: 60_000, allowDuplicateAddress: false });
});

test("an option wins over its variable", () => {
  const { addresses, pools } = readStartUp(
    { ip: "10.0.0.1", ip6: "none", poolCidr: "10.5.0.0/16" },
    { IP: "10.0.0.2", IP6: "fd00::2", CALICO_IPV4POOL_CIDR: "10.6.0.0/16" },
  );
  expect(addresses).toMatchObject({ ipv4: { address: "10.0.0.1" }, ipv6: { kind: "none" } });
  expect(pools.ipv4).toMatchObject({ cidr: "10.5.0.0/16" });
});

test("an IPv6 pool is for hosts with an IPv6 address, or of a range that was given, unless IPv6 is off", () => {
  const ipv6Pool = (env: Environment) => readStartUp({}, env).pools.ipv6?.cidr as string | undefined;
  expect(ipv6Pool({})).toBeUndefined();
  expect(ipv6Pool({ IP6: "autodetect" })).toBe("choose");
  expect(ipv6Pool({ CALICO_IPV6POOL_CIDR: "fd00:5::/48" })).toBe("fd00:5::/48");
  expect(ipv6Pool({ IP6: "fd00::1", CALICO_IPV6POOL_CIDR: "none" })).toBeUndefined();
  expect(ipv6Pool({ IP6: "fd00::1", FELIX_IPV6SUPPORT: "false" })).toBeUndefined();
});

test("the log level of start-up is one of Calico's words", () => {
  expect(startUpLogLevel({})).toBeUndefined();
  expect(startUpLogLevel({ CALICO_STARTUP_LOGLEVEL: "WARNING" })).toBe("warn");
  expect(() => startUpLogLevel({ CALICO_STARTUP_LOGLEVEL: "LOUD" })).toThrow('"LOUD" is no log level');
});

test("a host without any address cannot be a node", () => {
  expect(() => new LocalHost("h", { ipv4: undefined, ipv6: undefined })).toThrow("neither an IPv4 nor an IPv6 address");
});

describe("the name of the host", () => {
  const cases: readonly [
    name: string,
    option: string | undefined,
    env: Environment,
    kept: string | undefined,
    is: string,
  ][] = [
    ["the option", "opt", { NODENAME: "env", HOSTNAME: "shell" }, "kept", "opt"],
    ["NODENAME", undefined, { NODENAME: "env", HOSTNAME: "shell" }, "kept", "env"],
    ["the file", undefined, { HOSTNAME: "shell" }, "kept\n", "kept"],
    ["HOSTNAME in lower case", undefined, { HOSTNAME: "Shell.Example" }, undefined, "shell.example"],
    ["the machine's in lower case", undefined, {}, undefined, "machine"],
    ["an empty file is none", undefined, {}, " \n", "machine"],
  ];
  for (const [name, option, env, kept, is] of cases) {
    test(`is ${name}`, () => {
      const directory = mkdtempSync(join(tmpdir(), "margay-name-"));
      try {
        const file = join(directory, "nodename");
        if (kept !== undefined) writeFileSync(file, kept);
        expect(determineNodeName({ option, env, file, machine: () => "Machine" })).toBe(is);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }

  test("is kept in its file, so that it stays what it was when the machine is called otherwise", () => {
    const directory = mkdtempSync(join(tmpdir(), "margay-name-"));
    try {
      const file = join(directory, "calico", "nodename");
      keepNodeName(file, "h1");
      keepNodeName(file, "h1");
      expect(readFileSync(file, "utf8")).toBe("h1");
      expect(determineNodeName({ option: undefined, env: {}, file, machine: () => "h2" })).toBe("h1");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("that cannot stand in a key is refused, with where it came from", () => {
    const of = (option: string | undefined, env: Environment) => () =>
      determineNodeName({ option, env, file: "/nonexistent/nodename", machine: () => "My_Host" });
    expect(of("a/b", {})).toThrow("--name: name must consist of lower case");
    expect(of(undefined, { NODENAME: "Upper" })).toThrow("NODENAME: name must consist of lower case");
    expect(of(undefined, { HOSTNAME: "a_b" })).toThrow("HOSTNAME: name must");
    expect(of(undefined, {})).toThrow("the host's name: name must");
  });
});
