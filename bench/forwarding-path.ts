/**
 * Two containers on one host, wired and routed as Margay does it, with one kind of packet filter between them; the host may
 * have many more endpoints, that are known to the filter but have no interface. Each path has namespaces of its own, so that
 * several can be measured in turn.
 */

import { hostCidr, parseIpAddress } from "../src/base/addresses.ts";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { TestNamespace } from "../src/kernel/testing/test-namespaces.ts";
import { gatewayAddress } from "../src/node/dataplane/base-chains.ts";
import { Dataplane } from "../src/node/dataplane/dataplane.ts";
import { anything, endpointOf, fromSet, rule } from "../src/node/dataplane/testing/containers.ts";
import { ClusterDocuments } from "./cluster-documents.ts";

export type Filter = "none" | "conntrack" | "iptables-legacy" | "iptables-nft" | "margay";

/** Whom a policy lets in besides the client: as many single addresses. */
const membersOfPolicy = 10;
const [client, server] = [0, 1];
const programFile = new URL("datagrams.ts", import.meta.url).pathname;
/** One processor for both ends: nothing waits for another one to wake up. */
const pinned = ["taskset", "-c", "0"];
export const ports = { hold: 5_001, echo: 5_002, iperf: 5_201, dial: 20_000 };
const addressOf = ClusterDocuments.address;

export class ForwardingPath implements Disposable {
  readonly name: string;
  readonly serverAddress = addressOf(server);
  readonly #router: TestNamespace;
  readonly #client: TestNamespace;
  readonly #server: TestNamespace;
  readonly #senders = new Map<string, Sender>();

  private constructor(name: string) {
    this.name = name;
    const part = name.replaceAll(/[^a-z0-9]/g, "");
    this.#router = new TestNamespace(`${part}-r`);
    this.#client = new TestNamespace(`${part}-c`);
    this.#server = new TestNamespace(`${part}-s`);
    this.#wire(client, this.#client);
    this.#wire(server, this.#server);
    this.#router.must("sysctl", "-qw", "net.ipv4.ip_forward=1");
    this.#router.must("ip", "route", "add", "local", gatewayAddress, "dev", "lo");
    // First packets to these ports are counted on their way, not at the end.
    const sink = `table ip sink { chain c { type filter hook prerouting priority -300; udp dport > ${ports.dial} drop; }; }`;
    this.#server.must("nft", sink);
    for (const role of ["hold", "echo"] as const) this.#server.start(...this.#program(role, server, client));
    this.#server.start("iperf3", "-s", "-p", String(ports.iperf));
  }

  static async create(filter: Filter, endpoints: number): Promise<ForwardingPath> {
    const path = new ForwardingPath(filter === "none" ? "bare" : endpoints > 2 ? `${filter} ${endpoints}` : filter);
    await path.#filter(filter, endpoints);
    for (const role of ["send", "ask", "dial"] as const)
      path.#senders.set(role, new Sender(path.#client.start(...path.#program(role, client, server))));
    return path;
  }

  /** Nanoseconds for each of so many: datagrams sent, questions answered, connections begun. */
  async measure(role: "send" | "ask" | "dial", count: number): Promise<number> {
    const sender = this.#senders.get(role);
    if (sender === undefined) throw new Error(`no ${role}`);
    return await sender.ask(count);
  }

  gigabits(): number {
    const words = ["iperf3", "-c", this.serverAddress, "-p", String(ports.iperf), "-t", "1", "-J"];
    return JSON.parse(this.#client.must(...words)).end.sum_received.bits_per_second / 1e9;
  }

  /** Whether a server that nobody lets in is reached: the measured path has to have a filter that works. */
  letsEverythingPass(): boolean {
    return this.#client.run(["ping", "-n", "-c", "1", "-W", "1", this.serverAddress]).exitCode === 0;
  }

  [Symbol.dispose](): void {
    for (const namespace of [this.#client, this.#server, this.#router]) namespace[Symbol.dispose]();
  }

  #wire(endpoint: number, container: TestNamespace): void {
    const [name, address] = [ClusterDocuments.interfaceOf(endpoint), addressOf(endpoint)];
    const add = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", container.name];
    this.#router.must(...add);
    this.#router.must("ip", "link", "set", name, "up");
    this.#router.must("sysctl", "-qw", `net.ipv4.conf.${name}.proxy_arp=1`, `net.ipv4.neigh.${name}.proxy_delay=0`);
    this.#router.must("ip", "route", "add", `${address}/32`, "dev", name);
    container.must("ip", "addr", "add", `${address}/32`, "dev", "eth0");
    container.must("ip", "link", "set", "eth0", "up");
    container.must("ip", "route", "add", gatewayAddress, "dev", "eth0", "scope", "link");
    container.must("ip", "route", "add", "default", "via", gatewayAddress);
  }

  #program(role: "hold" | "echo" | "send" | "ask" | "dial", from: number, to: number): readonly string[] {
    const port = { hold: ports.hold, send: ports.hold, echo: ports.echo, ask: ports.echo, dial: ports.dial }[role];
    return [...pinned, process.execPath, programFile, role, addressOf(from), addressOf(to), String(port)];
  }

  async #filter(filter: Filter, endpoints: number): Promise<void> {
    switch (filter) {
      case "none":
        return;
      case "conntrack":
        this.#router.must(
          "nft",
          "table ip c { chain f { type filter hook forward priority 0; ct state established accept; }; }",
        );
        return;
      case "iptables-legacy":
      case "iptables-nft": {
        const options = { stdin: iptablesRules(endpoints), timeoutMs: 120_000 };
        const { exitCode, stderr } = this.#router.run([`${filter}-restore`], options);
        if (exitCode !== 0) throw new Error(`${filter}: ${stderr}`);
        return;
      }
      case "margay":
        await programMargay(this.#router, endpoints);
    }
  }
}

/** A program that answers each number with one. */
class Sender {
  readonly #stdin: Bun.FileSink;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ReturnType<TestNamespace["start"]>) {
    if (typeof child.stdin !== "object") throw new Error("the program has an input");
    this.#stdin = child.stdin;
    this.#lines = linesOf(child.stdout as ReadableStream<Uint8Array>);
  }

  async ask(count: number): Promise<number> {
    this.#stdin.write(`${count}\n`);
    this.#stdin.flush();
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the sender ended: no answer came back");
    return Number(value);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + Buffer.from(chunk).toString()).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** UDP from some addresses, the client's among them, and TCP to a port; the same in both filters. */
function membersOf(endpoint: number): readonly string[] {
  return Array.from({ length: membersOfPolicy }, (_, at) => addressOf(at === 0 ? client : endpoint + 1_000 * at));
}

async function programMargay(router: TestNamespace, endpoints: number): Promise<void> {
  using _inside = router.namespace.enter();
  const host = { name: "host-0", address: parseIpAddress("172.31.0.11") };
  const dataplane = await Dataplane.open({ clock: systemClock, log: silentLog, host });
  for (let at = 0; at < endpoints; at++) {
    dataplane.addressSet(`s-${at}`, new Set(membersOf(at).map((address) => hostCidr(parseIpAddress(address)))));
    dataplane.ruleList(`policy/default/p-${at}`, {
      inbound: [
        rule("allow", { protocol: 6, destination: { ...anything, ports: [{ first: 80, last: 80 }] } }),
        rule("allow", { ...fromSet(`s-${at}`), protocol: 17 }),
        rule("allow", { ...fromSet(`s-${at}`), protocol: 6 }),
      ],
      outbound: [rule("allow")],
    });
    const lists = [`policy/default/p-${at}`];
    const tier = { name: "default", inbound: lists, outbound: lists, defaultAction: "deny" as const };
    dataplane.endpoint(`/bench/${at}`, { ...endpointOf(String(at), addressOf(at), []), tiers: [tier] });
  }
  dataplane.setInSync();
  await dataplane.apply();
  await dataplane.close();
}

/** The source check of Felix, open connections first, a chain for each endpoint and direction. */
function iptablesRules(endpoints: number): string {
  const all = Array.from({ length: endpoints }, (_, at) => at);
  return [
    "*raw",
    ":PREROUTING ACCEPT",
    "-A PREROUTING -i cali+ -m rpfilter --validmark --invert -j DROP",
    "COMMIT",
    "*filter",
    ":FORWARD ACCEPT",
    ":from -",
    ":to -",
    ...all.flatMap((at) => [`:from-${at} -`, `:to-${at} -`, `:policy-${at} -`]),
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
    "-A FORWARD -i cali+ -j from",
    "-A FORWARD -o cali+ -j to",
    ...all.flatMap((at) => [
      `-A from -i cali${at} -g from-${at}`,
      `-A to -o cali${at} -g to-${at}`,
      `-A to-${at} -j policy-${at}`,
      `-A to-${at} -j DROP`,
      `-A policy-${at} -p tcp --dport 80 -j ACCEPT`,
      ...membersOf(at).flatMap((member) =>
        ["udp", "tcp"].map((protocol) => `-A policy-${at} -p ${protocol} -s ${member} -j ACCEPT`),
      ),
    ]),
    "-A from -j DROP",
    "-A to -j DROP",
    "COMMIT",
    "",
  ].join("\n");
}
