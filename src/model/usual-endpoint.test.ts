/** The short way through the schema of WorkloadEndpoint against the schema itself. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { isUsualEndpoint } from "./usual-endpoint.ts";
import { WorkloadEndpoint } from "./workload-endpoint.ts";

const usual = {
  kind: "WorkloadEndpoint",
  apiVersion: "projectcalico.org/v3",
  metadata: { name: "host1-libnetwork-libnetwork-e1", namespace: "libnetwork", labels: { app: "web" } },
  spec: {
    orchestrator: "libnetwork",
    workload: "libnetwork",
    node: "host1",
    endpoint: "e1",
    ipNetworks: ["10.0.0.1/32"],
    profiles: ["my-calico-net"],
    interfaceName: "cali1",
    mac: "ee:ee:ee:ee:ee:ee",
  },
};

test("an endpoint as the Docker driver writes it takes the short way", () => {
  expect(isUsualEndpoint(usual)).toBe(true);
});

test("a member named __proto__ leaves it to the schema, which drops it", () => {
  const text = JSON.stringify(usual).replace('"app":"web"', '"app":"web","__proto__":"x"');
  expect(isUsualEndpoint(JSON.parse(text))).toBe(false);
});

const anything = fc.oneof(
  fc.constantFrom(
    null,
    undefined,
    "",
    "x",
    0,
    true,
    [],
    {},
    ["a"],
    [1],
    { a: "b" },
    { a: 1 },
    "a-name-that-is-too-long",
  ),
  fc.jsonValue(),
);
/** Some fields of the usual document, and some that nobody knows, have another value. */
const changed = fc
  .array(
    fc.tuple(
      fc.constantFrom<"" | "metadata" | "spec">("", "metadata", "spec"),
      fc.constantFrom(
        ...["kind", "apiVersion", "metadata", "spec", "status", "foreign", "__proto__"],
        ...["name", "namespace", "uid", "creationTimestamp", "labels", "annotations"],
        ...Object.keys(WorkloadEndpoint.shape.spec.shape),
      ),
      anything,
    ),
    { maxLength: 3 },
  )
  .map((changes) => {
    const document: Record<string, unknown> = structuredClone(usual);
    for (const [part, field, value] of changes) {
      const owner = part === "" ? document : document[part];
      if (typeof owner === "object" && owner !== null) Object.assign(owner, structuredClone({ [field]: value }));
    }
    // As it comes out of the store.
    return JSON.parse(JSON.stringify(document)) as unknown;
  });

test("what takes the short way is valid, and the schema changes nothing in it", () => {
  fc.assert(
    fc.property(changed, (document) => {
      if (!isUsualEndpoint(document)) return;
      expect(WorkloadEndpoint.parse(document)).toEqual(document);
    }),
    { numRuns: 2_000 },
  );
});
