/** Policies: names users gave, and flags that contradict each other. */

import { expect, test } from "bun:test";
import { checkPolicyFlags } from "./policy-resource.ts";
import { userPolicyName } from "./tiered-policies.ts";

test("a policy is called what its user called it, in every stored form", () => {
  const annotated = (text: string) => ({ name: "tier.x", annotations: { "projectcalico.org/metadata": text } });
  expect(userPolicyName(annotated('{"name":"x"}'))).toBe("x");
  expect(userPolicyName(annotated("{"))).toBe("tier.x");
  expect(userPolicyName({ name: "default.allow-web" })).toBe("allow-web");
  expect(userPolicyName({ name: "allow-web" })).toBe("allow-web");
});

const refused: readonly [spec: Parameters<typeof checkPolicyFlags>[0], problem: string][] = [
  [{ preDNAT: true, doNotTrack: true, applyOnForward: true }, "cannot both be true"],
  [{ preDNAT: true, applyOnForward: true, egress: [{ action: "Deny" }] }, "cannot have any Egress rules"],
  [{ preDNAT: true, applyOnForward: true, types: ["Egress"] }, "cannot have 'egress' Type"],
  [{ doNotTrack: true }, "ApplyOnForward must be true"],
  [{ types: ["Ingress", "Ingress"] }, "'Ingress' type specified more than once"],
];
for (const [spec, problem] of refused) {
  test(`flags refused: ${problem}`, () => expect(() => checkPolicyFlags(spec)).toThrow(problem));
}
