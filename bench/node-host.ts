/**
 * A host for benchmarks: a network namespace with the interfaces of its endpoints and a real `margay node` process in it.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IpAddress } from "../src/base/addresses.ts";
import { TestNamespace } from "../src/kernel/testing/test-namespaces.ts";
import { gatewayAddress } from "../src/node/dataplane/base-chains.ts";
import { ClusterDocuments } from "./cluster-documents.ts";

const mainFile = join(import.meta.dir, "../src/main.ts");
const startWithinMs = 120_000;
const pollEveryMs = 5;
/** USER_HZ, in which the kernel tells processor time on every architecture that this runs on. */
const ticksPerSecond = 100;

/** What of the node's own status is looked at. */
interface NodeStatus {
  readonly node: { readonly datastore: string; readonly enforcedRevision: number; readonly invalid: object };
  readonly dataplane: { readonly filterTransactions: number; readonly failures: number; readonly lastApplyMs: object };
}

export class NodeHost implements AsyncDisposable {
  readonly address: IpAddress;
  readonly namespace: TestNamespace;
  readonly #name: string;
  readonly #directory = mkdtempSync(join(tmpdir(), "margay-bench-"));
  readonly #containers: TestNamespace[] = [];
  readonly #program: readonly string[];
  #node: ReturnType<typeof Bun.spawn> | undefined;

  /**
   * @param options.enter as TestNamespace: the store of the benchmark runs on this host.
   * @param options.program margay as users have it, instead of its sources.
   */
  constructor(number: number, options: { readonly enter?: boolean; readonly program?: string } = {}) {
    this.#program = options.program === undefined ? [process.execPath, mainFile] : [options.program];
    this.#name = ClusterDocuments.hostName(number);
    this.address = ClusterDocuments.hostAddress(number);
    this.namespace = new TestNamespace(`bench${number}`, options);
  }

  /** The host's network, with another host on it, or with nobody. */
  connect(other?: NodeHost): void {
    const far = other === undefined ? ["uplink0"] : ["eth0", "netns", other.namespace.name];
    this.namespace.must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", ...far);
    if (other === undefined) this.namespace.must("ip", "link", "set", "uplink0", "up");
    for (const host of other === undefined ? [this] : [this, other]) {
      host.namespace.must("ip", "addr", "add", `${host.address}/16`, "dev", "eth0");
      host.namespace.must("ip", "link", "set", "eth0", "up");
    }
  }

  /**
   * Interfaces for endpoints that nobody sends from. Their other ends share one namespace, without IPv6, as Docker leaves
   * containers that have no such address.
   * @param options.ipv6 other than the agent leaves it on the interfaces that it makes for such endpoints.
   */
  addInterfaces(endpoints: readonly number[], options: { readonly ipv6?: boolean } = {}): void {
    const far = new TestNamespace("far");
    this.#containers.push(far);
    far.must("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
    // As the agent's own: else IPv6 addresses go on changing for seconds, and a dump of them begins anew each time.
    this.namespace.must("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0");
    if (options.ipv6 !== true) this.namespace.must("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
    const near = endpoints.flatMap((at) => {
      const name = ClusterDocuments.interfaceOf(at);
      return [`link add ${name} type veth peer name far${at} netns ${far.name}`, `link set ${name} up`];
    });
    for (const [{ namespace }, commands] of [
      [this, near],
      [{ namespace: far }, endpoints.map((at) => `link set far${at} up`)],
    ] as const) {
      const { exitCode, stderr } = namespace.run(["ip", "-batch", "-"], {
        stdin: commands.join("\n"),
        timeoutMs: 120_000,
      });
      if (exitCode !== 0) throw new Error(`ip: ${stderr}`);
    }
  }

  /** A namespace behind an endpoint's interface, that sends and answers as its container would. */
  addContainer(endpoint: number, address: IpAddress): TestNamespace {
    const container = new TestNamespace(`of${endpoint}`);
    this.#containers.push(container);
    const name = ClusterDocuments.interfaceOf(endpoint);
    const add = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", container.name];
    this.namespace.must(...add);
    this.namespace.must("ip", "link", "set", name, "up");
    container.must("ip", "addr", "add", `${address}/32`, "dev", "eth0");
    container.must("ip", "link", "set", "eth0", "up");
    container.must("ip", "route", "add", gatewayAddress, "dev", "eth0", "scope", "link");
    container.must("ip", "route", "add", "default", "via", gatewayAddress);
    return container;
  }

  /**
   * Starts the agent. @returns milliseconds from the start of the process until it says that the kernel is as it should be,
   * at a revision of the store that is not before the given one.
   */
  async startNode(storeEndpoint: string, revision: number): Promise<number> {
    const startMs = performance.now();
    const node = this.namespace.start(
      ...[...this.#program, "node", `--name=${this.#name}`, `--ip=${this.address}`],
      ...[`--store=${storeEndpoint}`, `--run-dir=${this.#directory}`, `--state-dir=${this.#directory}`],
      ...["--no-docker", "--no-default-pools", `--nodename-file=${join(this.#directory, "nodename")}`],
    );
    this.#node = node;
    void textOf(node.stdout);
    const errors = textOf(node.stderr);
    while (!(await this.#enforces(revision))) {
      if (node.exitCode !== null) throw new Error(`the agent ended with ${node.exitCode}: ${await errors}`);
      if (performance.now() > startMs + startWithinMs) throw new Error("the agent is not ready in time");
      await Bun.sleep(pollEveryMs);
    }
    return performance.now() - startMs;
  }

  /** As a crash would. */
  async killNode(): Promise<void> {
    this.#node?.kill("SIGKILL");
    await this.#node?.exited;
    this.#node = undefined;
  }

  get nodePid(): number {
    if (this.#node === undefined) throw new Error("the agent is not running");
    return this.#node.pid;
  }

  /** Resident memory of the agent. */
  residentMiB(): number {
    const status = readFileSync(`/proc/${this.nodePid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
  }

  /** Processor time that the agent has used: what a busy machine does not stretch as it does time. */
  processorMs(): number {
    const fields = readFileSync(`/proc/${this.nodePid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) * (1_000 / ticksPerSecond);
  }

  async status(): Promise<NodeStatus> {
    const answer = await fetch("http://node/v1/status", { unix: join(this.#directory, "node.sock") });
    return (await answer.json()) as NodeStatus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killNode();
    for (const container of this.#containers) container[Symbol.dispose]();
    this.namespace[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #enforces(revision: number): Promise<boolean> {
    try {
      const { node } = await this.status();
      return node.datastore === "in-sync" && node.enforcedRevision >= revision;
    } catch {
      return false; // its socket is not there yet
    }
  }
}

async function textOf(stream: ReadableStream<Uint8Array> | number | undefined): Promise<string> {
  return stream instanceof ReadableStream ? await new Response(stream).text() : "";
}
