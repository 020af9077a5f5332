/**
 * Containers come and go as Docker has it, while the node is killed at any moment, Docker forgets what it was about, and another
 * program of the host takes addresses of the same blocks: nobody ever has another's address, and in the end nothing is left.
 */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { type IpAddress, parseIpAddress } from "../../../base/addresses.ts";
import { systemClock } from "../../../base/clock.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { HOST, PluginFixture } from "../testing/plugin-fixture.ts";
import { endpointKey, hostInterfaceName } from "./endpoint-names.ts";

const NETWORK = "5a8c".repeat(16);
const FIXED = "192.168.77.7";
const { signal } = new AbortController();

interface Event {
  readonly kind: "docker-goes-on" | "docker-forgets" | "another-takes" | "repair";
  readonly which: number;
  /** Before the call reaches it, or after it has done everything but answer; Docker calls again. */
  readonly nodeDies: "no" | "before" | "after";
}

const event: fc.Arbitrary<Event> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant("docker-goes-on" as const) },
    { weight: 1, arbitrary: fc.constantFrom("docker-forgets" as const, "another-takes" as const, "repair" as const) },
  ),
  which: fc.nat(3),
  nodeDies: fc.oneof(
    { weight: 4, arbitrary: fc.constant("no" as const) },
    { weight: 1, arbitrary: fc.constantFrom("before" as const, "after" as const) },
  ),
});

/** What Docker is about to call for a container; between "Leave" and "Join" it runs. */
type Next = "RequestAddress" | "CreateEndpoint" | "Join" | "Leave" | "DeleteEndpoint" | "ReleaseAddress";

interface Container {
  readonly which: number;
  endpoint: string;
  next: Next;
  address: string;
}

test("whoever dies in the middle of a container's life, no address has two owners and none is lost", async () => {
  await fc.assert(fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 50 }), run), { numRuns: 40 });
}, 60_000);

async function run(events: readonly Event[]): Promise<void> {
  let fixture = await PluginFixture.open();
  try {
    fixture.dockerNetworks.set(NETWORK, "net");
    const other = new Ipam({ store: fixture.store, clock: systemClock });
    const taken: IpAddress[] = [];
    let endpoints = 0;
    const fresh = () => String(++endpoints).padStart(11, "0").padEnd(64, "0");
    const containers = [0, 1, 2, 3].map(
      (which): Container => ({ which, endpoint: fresh(), next: "RequestAddress", address: "" }),
    );
    for (const { kind, which, nodeDies } of events) {
      const container = containers[which];
      if (container === undefined) continue;
      if (kind === "docker-goes-on") {
        if (nodeDies === "before") fixture = await fixture.restarted();
        const { next } = container;
        let answer = await call(fixture, container);
        if (nodeDies === "after") {
          fixture = await fixture.restarted();
          container.next = next;
          answer = await call(fixture, container);
        }
        follow(fixture, container, answer, fresh);
      } else if (kind === "docker-forgets") {
        forget(fixture, container);
        Object.assign(container, { endpoint: fresh(), next: "RequestAddress" });
      } else if (kind === "another-takes") {
        const handle = `other-${taken.length}`;
        taken.push(await other.assignAddress({ host: HOST, family: 4, handle, attributes: { orchestrator: "cni" } }));
      } else await fixture.reconciler.pass(signal);
      await check(fixture, containers, taken);
    }
    for (const container of containers) forget(fixture, container);
    await fixture.reconciler.pass(signal);
    await fixture.reconciler.pass(signal);
    await fixture.reconciler.pass(signal);
    await other.releaseAddresses(taken.map((address) => ({ address })));
    expect(await fixture.traces()).toEqual([]);
  } finally {
    await fixture[Symbol.asyncDispose]();
  }
}

async function call(
  fixture: PluginFixture,
  container: Container,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { next, endpoint, address, which } = container;
  const ids = { NetworkID: NETWORK, EndpointID: endpoint };
  switch (next) {
    case "RequestAddress":
      return await fixture.call("IpamDriver.RequestAddress", {
        PoolID: "192.168.0.0/16",
        Address: which < 2 ? FIXED : "", // two of them want the same
      });
    case "ReleaseAddress":
      return await fixture.call("IpamDriver.ReleaseAddress", {
        PoolID: "192.168.0.0/16",
        Address: address.split("/")[0],
      });
    case "CreateEndpoint":
      return await fixture.call("NetworkDriver.CreateEndpoint", { ...ids, Interface: { Address: address } });
    default:
      return await fixture.call(`NetworkDriver.${next}`, { ...ids, SandboxKey: `/netns/${endpoint}` });
  }
}

/** What Docker does with the answer (reference/docker.md 2.5). */
function follow(
  fixture: PluginFixture,
  container: Container,
  { status, body }: { status: number; body: Record<string, unknown> },
  fresh: () => string,
): void {
  const ok = status === 200;
  switch (container.next) {
    case "RequestAddress":
      if (!ok) return;
      Object.assign(container, { next: "CreateEndpoint", address: String(body.Address), endpoint: fresh() });
      return;
    case "CreateEndpoint":
      if (ok) {
        const address = container.address.split("/")[0] ?? "";
        fixture.attached.set(container.endpoint, { networkId: NETWORK, address });
      }
      container.next = ok ? "Join" : "ReleaseAddress";
      return;
    case "Join":
      container.next = ok ? "Leave" : "DeleteEndpoint";
      return;
    case "Leave":
      container.next = "DeleteEndpoint";
      return;
    case "DeleteEndpoint":
      fixture.attached.delete(container.endpoint);
      container.next = "ReleaseAddress";
      return;
    case "ReleaseAddress":
      container.next = "RequestAddress";
  }
}

/** As after kill -9 of Docker and its containers: their namespaces go, and the interfaces with them. */
function forget(fixture: PluginFixture, { endpoint }: Container): void {
  fixture.attached.delete(endpoint);
  const name = hostInterfaceName(endpoint);
  fixture.links.delete(name);
  fixture.links.delete(name.replace(/^cali/, "temp"));
}

async function check(
  fixture: PluginFixture,
  containers: readonly Container[],
  taken: readonly IpAddress[],
): Promise<void> {
  const living = containers.filter(({ next }) => next === "Join" || next === "Leave");
  for (const { endpoint, address } of living) {
    const held = await fixture.ipam.lookup(parseIpAddress(address.split("/")[0] ?? ""));
    expect(held?.handle).toBe(endpoint);
    expect(await fixture.store.get(endpointKey(HOST, endpoint))).toBeDefined();
  }
  expect(new Set([...living.map(({ address }) => address), ...taken]).size).toBe(living.length + taken.length);
}
