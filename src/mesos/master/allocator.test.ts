/** Fair shares as tables, and by property: nothing is granted twice, nothing that is not there. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseResources } from "../protocol/resource-grammar.ts";
import { addResources, containsResources, formatResources, type Resources } from "../protocol/resources.ts";
import { type AllocationSnapshot, allocate, type Claim } from "./allocator.ts";
import { quantitiesOf } from "./quantities.ts";
import { ResourceLedger } from "./resource-ledger.ts";

const resources = (text: string) => parseResources(text, "test");
const minimum = [quantitiesOf(resources("cpus:0.01")), quantitiesOf(resources("mem:32"))];

function agent(id: string, available: string, attributes: string[] = []) {
  const texts = attributes.map((value) => ({ name: "rack", type: "TEXT", text: { value } }) as const);
  return { id, hostname: id, attributes: texts, domain: undefined, available: resources(available) };
}

function claim(frameworkId: string, more: Partial<Claim> & { holds?: string } = {}): Claim {
  const { holds, ...rest } = more;
  return {
    frameworkId,
    role: "*",
    allocated: quantitiesOf(resources(holds ?? "")),
    grants: 0,
    minimum,
    wantsGpus: false,
    constraints: undefined,
    refused: new Map(),
    ...rest,
  };
}

function granted(snapshot: Partial<AllocationSnapshot> & Pick<AllocationSnapshot, "agents" | "claims">): string[] {
  const total = quantitiesOf(resources("cpus:100;mem:100000"));
  return allocate({ total, weights: new Map(), excluded: new Set(), ...snapshot }).map(
    (grant) => `${grant.frameworkId}@${grant.role} ${grant.agentId} ${formatResources(grant.resources)}`,
  );
}

const two = "cpus:2;mem:1024";

describe("allocator", () => {
  test("one framework is offered all that each agent has (33)", () => {
    expect(granted({ agents: [agent("S1", `${two};ports:[1-2]`), agent("S2", two)], claims: [claim("F")] })).toEqual([
      "F@* S1 cpus:2; mem:1024; ports:[1-2]",
      "F@* S2 cpus:2; mem:1024",
    ]);
  });

  test("two frameworks in equal roles get one agent each, a third agent goes to the smaller share (56)", () => {
    const claims = [claim("F1", { role: "a" }), claim("F2", { role: "b" })];
    expect(granted({ agents: [agent("S1", two), agent("S2", "cpus:1;mem:512"), agent("S3", two)], claims })).toEqual([
      "F1@a S1 cpus:2; mem:1024",
      "F2@b S2 cpus:1; mem:512",
      "F2@b S3 cpus:2; mem:1024",
    ]);
  });

  test("names excluded from fairness do not count (57)", () => {
    const claims = [claim("F1", { holds: "mem:50000" }), claim("F2", { holds: "cpus:1" })];
    expect(granted({ agents: [agent("S1", two)], claims })[0]).toStartWith("F2");
    expect(granted({ agents: [agent("S1", two)], claims, excluded: new Set(["mem"]) })[0]).toStartWith("F1");
  });

  test("equal shares go to the one with fewer grants, then by name (58)", () => {
    expect(
      granted({ agents: [agent("S1", two)], claims: [claim("F1", { grants: 3 }), claim("F2", { grants: 2 })] })[0],
    ).toStartWith("F2");
    expect(granted({ agents: [agent("S1", two)], claims: [claim("F2"), claim("F1")] })[0]).toStartWith("F1");
  });

  test("a role of weight 2 ends with twice the agents of one of weight 1 (59)", () => {
    const agents = Array.from({ length: 9 }, (_, index) => agent(`S${index}`, two));
    const lines = granted({
      agents,
      claims: [claim("F1", { role: "a" }), claim("F2", { role: "b" })],
      weights: new Map([["b", 2]]),
    });
    expect(lines.filter((line) => line.startsWith("F2"))).toHaveLength(6);
  });

  test("a/b and a/c share what a gets (60)", () => {
    const agents = Array.from({ length: 8 }, (_, index) => agent(`S${index}`, two));
    const claims = [claim("F1", { role: "a/b" }), claim("F2", { role: "a/c" }), claim("F3", { role: "d" })];
    const lines = granted({ agents, claims });
    expect(["F1", "F2", "F3"].map((id) => lines.filter((line) => line.startsWith(id)).length)).toEqual([2, 2, 4]);
  });

  test("reserved resources go to their role and the roles below it only (60, 61)", () => {
    const agents = [agent("S1", "cpus:1;cpus(a):4;mem:64")];
    const other = claim("F1", { role: "b" });
    const child = claim("F2", { role: "a/x", holds: "cpus:50" });
    expect(granted({ agents, claims: [other, child] })).toEqual([
      "F1@b S1 cpus:1; mem:64",
      "F2@a/x S1 cpus(reservations: [(STATIC,a)]):4",
    ]);
  });

  test("less than the minimum is not offered; an empty minimum means anything is (64)", () => {
    const agents = [agent("S1", "cpus:0.001;mem:31")];
    expect(granted({ agents, claims: [claim("F")] })).toEqual([]);
    expect(granted({ agents, claims: [claim("F", { minimum: [] })] })).toHaveLength(1);
    expect(granted({ agents: [agent("S1", "mem:32")], claims: [claim("F")] })).toHaveLength(1);
  });

  test("agents with gpus are for frameworks that know them (54)", () => {
    const agents = [agent("S1", "cpus:1;gpus:1")];
    expect(
      granted({ agents, claims: [claim("F1"), claim("F2", { wantsGpus: true, holds: "cpus:9" })] })[0],
    ).toStartWith("F2");
  });

  test("a refused offer is not made again, a larger one is (47)", () => {
    const refused = new Map([["S1", [resources(two)]]]);
    expect(granted({ agents: [agent("S1", two)], claims: [claim("F", { refused })] })).toEqual([]);
    expect(granted({ agents: [agent("S1", "cpus:1;mem:512")], claims: [claim("F", { refused })] })).toEqual([]);
    expect(granted({ agents: [agent("S1", "cpus:3;mem:1024")], claims: [claim("F", { refused })] })).toHaveLength(1);
    expect(granted({ agents: [agent("S2", two)], claims: [claim("F", { refused })] })).toHaveLength(1);
  });

  const constraint = (predicate: object, selector: object = { attribute_name: "rack" }) => ({
    role_constraints: { "*": { groups: [{ attribute_constraints: [{ selector, predicate }] }] } },
  });
  const constraints: readonly [name: string, constraints: object, agents: string][] = [
    ["text_equals", constraint({ text_equals: { value: "r1" } }), "S1"],
    ["text_not_equals", constraint({ text_not_equals: { value: "r1" } }), "S2 S3"],
    ["text_matches is for the whole text", constraint({ text_matches: { regex: "r" } }), ""],
    ["text_matches", constraint({ text_matches: { regex: "r." } }), "S1 S2"],
    ["text_not_matches", constraint({ text_not_matches: { regex: "r1|x" } }), "S2 S3"],
    ["exists", constraint({ exists: {} }), "S1 S2"],
    ["not_exists", constraint({ not_exists: {} }), "S3"],
    ["HOSTNAME", constraint({ text_equals: { value: "S2" } }, { pseudoattribute_type: "HOSTNAME" }), "S2"],
    ["ZONE that no agent has", constraint({ exists: {} }, { pseudoattribute_type: "ZONE" }), ""],
  ];
  for (const [name, given, expected] of constraints) {
    test(`offer constraints filter agents: ${name} (67)`, () => {
      const agents = [agent("S1", two, ["r1"]), agent("S2", two, ["r2", "r1"]), agent("S3", two)];
      const lines = granted({ agents, claims: [claim("F", { constraints: given })] });
      expect(lines.map((line) => line.split(" ")[1]).join(" ")).toBe(expected);
    });
  }

  test("grants of one agent never exceed what it has and never overlap, whatever the claims", () => {
    const amount = fc.integer({ min: 0, max: 8000 }).map((n) => n / 1000);
    const roles = fc.constantFrom("*", "a", "a/b", "c");
    const anyAgent = fc.record({ cpus: amount, reserved: amount, mem: amount, first: fc.nat(20), count: fc.nat(20) });
    const anyClaim = fc.record({ role: roles, cpus: amount, refusedAgent: fc.nat(5), grants: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(anyAgent, { maxLength: 6 }), fc.array(anyClaim, { maxLength: 6 }), (rooms, wishes) => {
        const agents = rooms.map((room, index) =>
          agent(
            `S${index}`,
            `cpus:${room.cpus};cpus(a):${room.reserved};mem:${room.mem * 1000};ports:[${room.first}-${room.first + room.count}]`,
          ),
        );
        const claims = wishes.map((wish, index) =>
          claim(`F${index}`, {
            role: wish.role,
            holds: `cpus:${wish.cpus}`,
            grants: wish.grants,
            refused: new Map([[`S${wish.refusedAgent}`, [resources("cpus:4;mem:4000")]]]),
          }),
        );
        const total = agents.reduce<Resources>((sum, one) => addResources(sum, one.available), []);
        const snapshot = {
          agents,
          claims,
          total: quantitiesOf(total),
          weights: new Map(),
          excluded: new Set<string>(),
        };
        const before = JSON.stringify(snapshot.agents);
        const grants = allocate(snapshot);
        for (const one of agents) {
          const ledger = new ResourceLedger();
          ledger.addAgent(one.id, one.available);
          for (const grant of grants.filter(({ agentId }) => agentId === one.id)) {
            expect(containsResources(ledger.available(one.id), grant.resources)).toBe(true);
            for (const resource of grant.resources) {
              expect(resource.role === "a" ? grant.role.split("/")[0] : "*").toBe(resource.role ?? "*");
            }
            ledger.hold(grant);
          }
        }
        expect(JSON.stringify(snapshot.agents)).toBe(before);
        expect(allocate(snapshot)).toEqual(grants);
      }),
    );
  });
});

describe("resource ledger", () => {
  const holding = { agentId: "S1", frameworkId: "F", role: "*", resources: resources("cpus:1;ports:[1-5]") };

  test("what is released is available again, sums return to nothing", () => {
    const ledger = new ResourceLedger();
    ledger.addAgent("S1", resources("cpus:4;ports:[1-10]"));
    ledger.hold(holding);
    expect(formatResources(ledger.available("S1"))).toBe("cpus:3; ports:[6-10]");
    expect(ledger.claimOf("F", "*").get("cpus")).toBe(1000);
    ledger.release(holding);
    expect(formatResources(ledger.available("S1"))).toBe("cpus:4; ports:[1-10]");
    expect(ledger.claimOf("F", "*").size).toBe(0);
    ledger.removeAgent("S1");
    expect(ledger.total.size).toBe(0);
  });

  test("an agent does not go while something is held there", () => {
    const ledger = new ResourceLedger();
    ledger.addAgent("S1", resources("cpus:4"));
    ledger.hold(holding);
    expect(() => ledger.removeAgent("S1")).toThrow("broken invariant");
  });

  test("an agent that came back smaller offers nothing of what is overdrawn", () => {
    const ledger = new ResourceLedger();
    ledger.addAgent("S1", resources("cpus:4;mem:100"));
    ledger.hold(holding);
    ledger.setTotal("S1", resources("cpus:0.5;mem:100"));
    expect(formatResources(ledger.available("S1"))).toBe("mem:100");
    ledger.release(holding);
    expect(formatResources(ledger.available("S1"))).toBe("cpus:0.5; mem:100");
  });
});
