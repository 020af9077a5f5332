/** A host and "containers" for system tests: network namespaces, wired by the dataplane the way Docker would do it. */
import { hostCidr, type IpAddress, parseIpAddress } from "../../../base/addresses.ts";
import { systemClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { eventually, interfaceNamed, TestNamespace } from "../../../kernel/testing/test-namespaces.ts";
import type { EndpointEnforcement, Rule, RuleListId, RuleMatch } from "../../../policy/enforcement.ts";
import { Dataplane, type DataplaneOptions } from "../dataplane.ts";

export const hostAddress = parseIpAddress("172.31.0.11");

export const anything: RuleMatch = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [] };
export const rule = (action: Rule["action"], more: Partial<Rule> = {}): Rule => ({
  action,
  source: anything,
  destination: anything,
  ...more,
});
export const fromSet = (id: string): Partial<Rule> => ({ source: { ...anything, sets: [id] } });

/** Keys and names as the Docker driver would make them. */
export function endpointOf(name: string, address: string, profiles: readonly RuleListId[]): EndpointEnforcement {
  return {
    key: `/test/${name}`,
    interfaceName: interfaceNamed(`cali${name}`),
    mac: undefined,
    addresses: [parseIpAddress(address)],
    tiers: [],
    profiles,
    problems: [],
  };
}

/** Of TestHost.openPair(). */
export const pairAddresses = { a: "10.65.0.1", b: "10.65.0.2" } as const;

export function describeOpenPair(dataplane: Dataplane): void {
  dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
  for (const name of ["a", "b"] as const)
    dataplane.endpoint(`/test/${name}`, endpointOf(name, pairAddresses[name], ["profile/open"]));
}

export class TestHost implements AsyncDisposable {
  readonly namespace: TestNamespace;
  readonly outside: TestNamespace;
  readonly #containers: TestNamespace[] = [];

  /** The thread is inside the host until disposal. "outside" is another machine on the host's network. */
  constructor(part: string) {
    this.outside = new TestNamespace(`${part}-out`);
    this.namespace = new TestNamespace(part, { enter: true });
    this.namespace.must(
      "ip",
      "link",
      "add",
      "eth0",
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      this.outside.name,
    );
    this.namespace.must("ip", "addr", "add", `${hostAddress}/24`, "dev", "eth0");
    this.namespace.must("ip", "link", "set", "eth0", "up");
    this.outside.must("ip", "addr", "add", "172.31.0.99/24", "dev", "eth0");
    this.outside.must("ip", "link", "set", "eth0", "up");
    this.outside.must("ip", "route", "add", "10.65.0.0/16", "via", hostAddress);
  }

  open(options: Partial<DataplaneOptions> = {}): Promise<Dataplane> {
    const host = { name: "host1", address: hostAddress };
    return Dataplane.open({ clock: systemClock, log: silentLog, host, ...options });
  }

  /** Veth into a new namespace with address and the usual routes; the endpoint itself is the test's business. */
  async container(dataplane: Dataplane, name: string, address: string): Promise<TestNamespace> {
    const namespace = new TestNamespace(`c-${name}`);
    this.#containers.push(namespace);
    await dataplane.createVeth({ hostName: `cali${name}`, containerName: `temp${name}` });
    this.namespace.must("ip", "link", "set", `temp${name}`, "netns", namespace.name);
    namespace.must("ip", "link", "set", `temp${name}`, "name", "eth0");
    namespace.must("ip", "addr", "add", hostCidr(parseIpAddress(address)), "dev", "eth0");
    namespace.must("ip", "link", "set", "eth0", "up");
    namespace.must("ip", "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link");
    namespace.must("ip", "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
    return namespace;
  }

  /** Two that everybody may talk to, and that may talk to everybody. */
  async openPair(dataplane: Dataplane): Promise<{ readonly a: TestNamespace; readonly b: TestNamespace }> {
    describeOpenPair(dataplane);
    dataplane.setInSync();
    await dataplane.apply();
    const a = await this.container(dataplane, "a", pairAddresses.a);
    return { a, b: await this.container(dataplane, "b", pairAddresses.b) };
  }

  /** Another namespace that goes with the host. */
  extra(part: string): TestNamespace {
    const namespace = new TestNamespace(part);
    this.#containers.push(namespace);
    return namespace;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#containers) container[Symbol.dispose]();
    this.outside[Symbol.dispose]();
    this.namespace[Symbol.dispose]();
  }
}

export function pings(from: TestNamespace, to: string, options: { source?: string } = {}): boolean {
  const source = options.source === undefined ? [] : ["-I", options.source];
  return from.run(["ping", "-n", "-c", "1", "-W", "0.5", ...source, to]).exitCode === 0;
}

/** A server that answers each TCP connection with a line. */
export async function serveTcp(namespace: TestNamespace, port: number): Promise<void> {
  namespace.start("busybox", "nc", "-ll", "-p", String(port), "-e", "/bin/echo", "hello");
  await eventually(`port ${port} listens`, () => namespace.must("ss", "-Hltn", `sport = :${port}`).trim() !== "");
}

/** A server that sends back what it gets. */
export async function serveEcho(namespace: TestNamespace, port: number): Promise<void> {
  namespace.start("busybox", "nc", "-ll", "-p", String(port), "-e", "/bin/cat");
  await eventually(`port ${port} listens`, () => namespace.must("ss", "-Hltn", `sport = :${port}`).trim() !== "");
}

/** A connection to an echo server, open until the namespace goes. */
export function openConnection(from: TestNamespace, to: string, port: number) {
  const child = from.start("nc", to, String(port));
  const stdin = child.stdin;
  if (stdin === undefined || typeof stdin === "number") throw new Error("the client has an input");
  let output = "";
  void (async () => {
    for await (const chunk of child.stdout as ReadableStream<Uint8Array>) output += Buffer.from(chunk).toString();
  })();
  let said = 0;
  return {
    /** Whether an answer comes, within a time. */
    async talks(timeoutMs = 3_000): Promise<boolean> {
      const line = `line ${++said}\n`;
      stdin.write(line);
      stdin.flush();
      return eventually("an answer comes", () => output.includes(line), timeoutMs).then(
        () => true,
        () => false,
      );
    },
  };
}

export function connectsTcp(from: TestNamespace, to: string, port: number): boolean {
  return from.run(["nc", "-w", "1", to, String(port)], { timeoutMs: 3_000 }).stdout.includes("hello");
}

/** Sends a datagram and waits for it to arrive at a listener started for it. */
export async function reachesUdp(
  from: TestNamespace,
  to: TestNamespace,
  address: IpAddress | string,
  port: number,
): Promise<boolean> {
  const listener = to.start("nc", "-u", "-l", String(port));
  await eventually(`udp ${port} listens`, () => to.must("ss", "-Hlun", `sport = :${port}`).trim() !== "");
  from.run(["nc", "-u", "-w", "1", "-q", "0", String(address), String(port)], {
    stdin: "datagram\n",
    timeoutMs: 3_000,
  });
  const reader = (listener.stdout as ReadableStream<Uint8Array>).getReader();
  const arrived = await Promise.race([
    reader.read().then(({ value }) =>
      Buffer.from(value ?? [])
        .toString()
        .includes("datagram"),
    ),
    Bun.sleep(500).then(() => false),
  ]);
  listener.kill("SIGKILL");
  return arrived;
}
