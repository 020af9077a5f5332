/** The stored names of policies, as four generations of clients wrote them. */

import { expect, test } from "bun:test";
import {
  metadataAnnotation,
  planPolicyMigration,
  policyKeys,
  policyNameOf,
  shownPolicy,
  storedPolicyMetadata,
} from "./policy-names.ts";
import { AnyResource, decode } from "./resource.ts";

const prefix = "/calico/resources/v3/projectcalico.org/";
const stored = (name: string, given?: string, tier?: string, selector = "all()") => {
  const annotations =
    given === undefined ? {} : { annotations: { [metadataAnnotation]: JSON.stringify({ name: given }) } };
  const document = {
    kind: "GlobalNetworkPolicy",
    apiVersion: "projectcalico.org/v3",
    metadata: { name, uid: "u", ...annotations },
    spec: { selector, ...(tier === undefined ? {} : { tier }) },
  };
  return { key: `${prefix}globalnetworkpolicies/${name}`, value: JSON.stringify(document), modRevision: 7 };
};

const forms: readonly [stored: ReturnType<typeof stored>, name: string][] = [
  [stored("default.allow-web"), "allow-web"], // to 3.28
  [stored("secure.allow-web", undefined, "secure"), "secure.allow-web"], // 3.29
  [stored("default.allow-web", "allow-web"), "allow-web"], // 3.30, 3.31
  [stored("secure.allow-web", "allow-web", "secure"), "allow-web"],
  [stored("allow-web", "allow-web"), "allow-web"], // 3.32
  [stored("default.allow-web", "default.allow-web"), "default.allow-web"],
];
for (const [{ key, value }, name] of forms) {
  test(`${key.slice(prefix.length)} is shown as ${name}, without the annotation`, () => {
    const resource = decode(AnyResource, value);
    expect(policyNameOf(resource)).toBe(name);
    expect(shownPolicy(resource).metadata).toEqual({ name, uid: "u" });
  });
}

test("a policy is looked for under its name, then as older releases stored it", () => {
  expect(policyKeys({ kind: "GlobalNetworkPolicy", name: "web" }, "secure")).toEqual([
    `${prefix}globalnetworkpolicies/web`,
    `${prefix}globalnetworkpolicies/default.web`,
    `${prefix}globalnetworkpolicies/secure.web`,
  ]);
  expect(policyKeys({ kind: "NetworkPolicy", name: "web", namespace: "n" })).toEqual([
    `${prefix}networkpolicies/n/web`,
    `${prefix}networkpolicies/n/default.web`,
  ]);
});

test("what is written names tier and user's name, under whichever key exists", () => {
  const metadata = storedPolicyMetadata({ name: "web", labels: { a: "b" } }, "default", "default.web");
  expect(metadata).toEqual({
    name: "default.web",
    labels: { a: "b", "projectcalico.org/tier": "default" },
    annotations: { "projectcalico.org/metadata": '{"name":"web"}' },
  });
});

test("old names of tier default are moved; what is not theirs to move stays, with the reason", () => {
  const { moves, left } = planPolicyMigration([
    stored("default.web"),
    stored("default.db", "db"),
    stored("default.same"),
    stored("same"),
    stored("default.other"),
    stored("other", undefined, undefined, "has(x)"),
    stored("default.secure", undefined, "secure"),
    stored("default.given", "default.given"),
    { key: `${prefix}globalnetworkpolicies/default.broken`, value: "{", modRevision: 7 },
    stored("new", "new"),
  ]);
  const short = (key: string) => key.slice(`${prefix}globalnetworkpolicies/`.length);
  expect(moves.map(({ from, to, create }) => [short(from), short(to), create !== undefined])).toEqual([
    ["default.db", "db", true],
    ["default.same", "same", false],
    ["default.web", "web", true],
  ]);
  expect(moves.every(({ fromRevision }) => fromRevision === 7)).toBe(true);
  expect(decode(AnyResource, moves[0]?.create ?? "").metadata).toEqual({
    name: "db",
    uid: "u",
    labels: { "projectcalico.org/tier": "default" },
    annotations: { "projectcalico.org/metadata": '{"name":"db"}' },
  });
  expect(left.map(({ key, reason }) => [short(key), reason.slice(0, 30)])).toEqual([
    ["default.broken", "/calico/resources/v3/projectca"],
    ["default.given", "this is what its user called i"],
    ["default.other", "/calico/resources/v3/projectca"],
    ["default.secure", "it is not of tier default"],
  ]);
});

test("a plan carried out leaves nothing to plan", () => {
  const before = [stored("default.web"), stored("db", "db")];
  const { moves } = planPolicyMigration(before);
  const after = before
    .filter(({ key }) => !moves.some(({ from }) => from === key))
    .concat(moves.map(({ to, create }) => ({ key: to, value: create ?? "", modRevision: 9 })));
  expect(planPolicyMigration(after)).toEqual({ moves: [], left: [] });
});
