/** Rules and selectors as a host enforces them, and Felix' ids for the same selectors. */

import { expect, test } from "bun:test";
import { check } from "../model/resource.ts";
import { EntityRule, Rule } from "../model/rule.ts";
import { parseSelector } from "../model/selector/parse.ts";
import { normalForm } from "../model/selector/selector.ts";
import { convertRules } from "./rule-conversion.ts";
import { policySelector, sideSelectors } from "./rule-selectors.ts";
import { felixSetId, setIdOf } from "./set-id.ts";

const ids: readonly [selector: string, id: string][] = [
  ["", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"],
  ["has( my-calico-net )", "s:50lybAbAPJnbyI0zuGCm0uLbselqVe0FJv8w8A"],
  ["my-calico-net == ''", "s:NY9Pih_iojyWnOf3lb87uo5wcJ_KcuyMa_xrJQ"],
  [`app=='web'&&tier=="fe"`, "s:t_4GIyGfjHoY9uvdXnXB9S7bX5uqf5zvWN-AXQ"],
  ["env in {'test','dev','test'}", "s:2NqtIIgdgZ_oYY1-Ys8YzKndMaUB-7KeyrRiXg"],
  ["!(has(b) || !has(a))", "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q"],
  ["!all()", "s:Z9zLaL1EHxF9kgXz1JwBD_e-AJbeJyFDpG-oKw"],
  ["global()", "s:fiJDJdBoaP_zQxty70sMjIrxwAb5lgM6LYCAow"],
  ["projectcalico.org/namespace == 'default'", "s:4g010_DunYvItGg3dv2MxnaJYxWEVRwn0exiaA"],
];
for (const [selector, id] of ids) {
  test(`38: the id of ${selector || "(blank)"} is Felix' own`, () => {
    expect(felixSetId(parseSelector(selector))).toBe(id);
    expect(setIdOf(parseSelector(selector))).toMatch(/^[a-z][A-Za-z0-9_-]{30,60}$/);
  });
}

const sides: readonly [
  side: unknown,
  namespace: string | undefined,
  positive: string | undefined,
  negative: string | undefined,
][] = [
  [{}, undefined, undefined, undefined],
  [{}, "ns", undefined, undefined],
  [{ selector: "has(a)" }, undefined, "has(a)", undefined],
  [{ selector: "has(a)" }, "ns", '(projectcalico.org/namespace == "ns" && has(a))', undefined],
  [{ selector: "all()" }, undefined, "all()", undefined],
  [{ selector: "all()" }, "ns", 'projectcalico.org/namespace == "ns"', undefined],
  [{ notSelector: "has(a)" }, undefined, undefined, "has(a)"],
  [{ notSelector: "has(a)" }, "ns", '(projectcalico.org/namespace == "ns" && !has(a))', undefined],
  [{ selector: "has(a)", notSelector: "has(b)" }, undefined, "(has(a) && !has(b))", undefined],
  [{ namespaceSelector: "x == 'y'" }, undefined, 'pcns.x == "y"', undefined],
  [{ namespaceSelector: "x == 'y'", selector: "has(a)" }, "ns", '(pcns.x == "y" && has(a))', undefined],
  [{ namespaceSelector: "all()" }, undefined, "has(projectcalico.org/namespace)", undefined],
  [{ namespaceSelector: "global()" }, "ns", "!has(projectcalico.org/namespace)", undefined],
  [{ serviceAccounts: { names: ["b", "a"] } }, undefined, 'projectcalico.org/serviceaccount in {"a", "b"}', undefined],
  [{ serviceAccounts: { selector: "has(x)" } }, undefined, "has(pcsa.x)", undefined],
];
for (const [side, namespace, positive, negative] of sides) {
  test(`side ${JSON.stringify(side)} of a policy ${namespace === undefined ? "without namespace" : `in ${namespace}`}`, () => {
    const found = sideSelectors(check(EntityRule, side), namespace, "source");
    expect(found.positive && normalForm(found.positive)).toBe(positive);
    expect(found.negative && normalForm(found.negative)).toBe(negative);
  });
}

test("40: a policy is for its namespace, for namespaces it selects, or for all", () => {
  expect(normalForm(policySelector({}, undefined))).toBe("all()");
  expect(normalForm(policySelector({ selector: "has(a)" }, "ns"))).toBe(
    '(projectcalico.org/namespace == "ns" && has(a))',
  );
  const global = { selector: "has(a)", namespaceSelector: "has(b)", serviceAccountSelector: "has(c)" };
  expect(normalForm(policySelector(global, undefined))).toBe("(has(pcns.b) && has(pcsa.c) && has(a))");
  expect(() => policySelector({ selector: "global()" }, undefined)).toThrow("global()");
});

const converted: readonly [rule: unknown, enforced: Record<string, unknown> | "never matches"][] = [
  [{ action: "Allow" }, { action: "allow" }],
  [
    { action: "Pass", protocol: "TCP" },
    { action: "pass", protocol: 6 },
  ],
  [
    { action: "Deny", protocol: 17, notProtocol: "SCTP" },
    { action: "deny", protocol: 17, notProtocol: 132 },
  ],
  [
    { action: "Log", protocol: "ICMP", icmp: { type: 8 } },
    { action: "log", protocol: 1, ipVersion: 4, icmp: { type: 8 } },
  ],
  [
    { action: "Allow", protocol: "ICMPv6", notICMP: { type: 1, code: 2 } },
    { protocol: 58, ipVersion: 6, notIcmp: { type: 1, code: 2 } },
  ],
  [{ action: "Allow", source: { nets: ["fd00::/8"] } }, { ipVersion: 6 }],
  [{ action: "Allow", source: { notNets: ["10.0.0.0/8"] } }, {}],
  [{ action: "Allow", protocol: "ICMP", source: { nets: ["fd00::/8"] } }, "never matches"],
];
for (const [rule, enforced] of converted) {
  test(`rule ${JSON.stringify(rule)}`, () => {
    const { list } = convertRules({ ingress: [check(Rule, rule)] }, undefined);
    if (enforced === "never matches") expect(list.inbound).toEqual([]);
    else expect(list.inbound[0]).toMatchObject(enforced);
    if (enforced !== "never matches" && enforced.ipVersion === undefined)
      expect(list.inbound[0]?.ipVersion).toBeUndefined();
  });
}

test("ports and nets are kept, canonical", () => {
  const rule = check(Rule, {
    action: "Allow",
    protocol: "TCP",
    source: { nets: ["10.0.0.0/8"], ports: ["1000:2000"] },
    destination: { notPorts: [80, "443"] },
  });
  const [enforced] = convertRules({ ingress: [rule] }, undefined).list.inbound;
  expect(enforced?.source).toMatchObject({ nets: ["10.0.0.0/8"], ports: [{ first: 1000, last: 2000 }] });
  expect(enforced?.destination.notPorts).toEqual([
    { first: 80, last: 80 },
    { first: 443, last: 443 },
  ]);
});
