/** What the API turns down: status and body as the old interface gave them, and nothing is changed. */

import { expect, test } from "bun:test";
import { MarathonLab } from "../testing/marathon-lab.ts";
import { parseJsonText } from "./json-text.ts";

const app = { id: "web", cmd: "sleep 1000", cpus: 0.1, mem: 32 };
const isText = expect.any(String);

const cases: readonly [name: string, method: string, path: string, body: unknown, status: number, answer: unknown][] = [
  [
    "malformed JSON",
    "POST",
    "/v2/apps",
    '{"id": "x",\n "cmd": }',
    400,
    { message: "Invalid JSON", details: expect.stringContaining("line: 2, column: 9") },
  ],
  ["no JSON at all", "POST", "/v2/apps", "id=multidis", 400, { message: "Invalid JSON", details: isText }],
  ["an empty body", "POST", "/v2/apps", undefined, 400, { message: "Please specify data in JSON format" }],
  [
    "wrong types",
    "POST",
    "/v2/apps",
    { ...app, id: "n", instances: "two" },
    400,
    { message: "Invalid JSON", details: [{ path: "/instances", errors: ["error.expected.jsnumber"] }] },
  ],
  [
    "no id",
    "POST",
    "/v2/apps",
    { cmd: "x" },
    400,
    { message: "Invalid JSON", details: [{ path: "/id", errors: ["error.path.missing"] }] },
  ],
  [
    "a bad id",
    "POST",
    "/v2/apps",
    { ...app, id: "A_b" },
    422,
    {
      message: "Object is not valid",
      details: [{ path: "/id", errors: [expect.stringContaining("must fully match regular expression")] }],
    },
  ],
  [
    "negative resources",
    "POST",
    "/v2/apps",
    { ...app, id: "n", cpus: -1, mem: -2 },
    422,
    {
      message: "Object is not valid",
      details: [
        { path: "/cpus", errors: ["got -1.0, expected 0.0 or more"] },
        { path: "/mem", errors: ["got -2.0, expected 0.0 or more"] },
      ],
    },
  ],
  [
    "an id that exists (checklist 3)",
    "POST",
    "/v2/apps",
    app,
    409,
    { message: "An app with id [/web] already exists." },
  ],
  [
    "an id below an app",
    "POST",
    "/v2/apps",
    { ...app, id: "web/db" },
    422,
    {
      message: "Object is not valid",
      details: [{ path: "/", errors: ["Groups and Applications may not have the same identifier."] }],
    },
  ],
  [
    "an unknown network",
    "POST",
    "/v2/apps",
    { id: "n", container: { docker: { image: "i", network: "USER" } }, ipAddress: { networkName: "nope" } },
    422,
    {
      message: "Object is not valid",
      details: [
        {
          path: "/ipAddress/networkName",
          errors: ["network nope does not exist on the cluster, expected one of: my-calico-net"],
        },
      ],
    },
  ],
  [
    "GET of an unknown app (checklist 14)",
    "GET",
    "/v2/apps/nope",
    undefined,
    404,
    { message: "App '/nope' does not exist" },
  ],
  [
    "DELETE of an unknown app (checklist 14)",
    "DELETE",
    "/v2/apps/nope",
    undefined,
    404,
    { message: "App '/nope' does not exist" },
  ],
  [
    "restart of an unknown app (checklist 14)",
    "POST",
    "/v2/apps/nope/restart",
    undefined,
    404,
    { message: "App '/nope' does not exist" },
  ],
  [
    "versions of an unknown app (checklist 14)",
    "GET",
    "/v2/apps/nope/versions",
    undefined,
    404,
    { message: "App '/nope' does not exist" },
  ],
  ["tasks of an unknown app", "GET", "/v2/apps/nope/tasks", undefined, 404, { message: "App '/nope' does not exist" }],
  [
    "PATCH of an unknown app (checklist 6)",
    "PATCH",
    "/v2/apps/nope",
    { instances: 1 },
    404,
    { message: "App '/nope' does not exist" },
  ],
  [
    "DELETE of …/restart",
    "DELETE",
    "/v2/apps/web/restart",
    undefined,
    404,
    { message: "App '/web/restart' does not exist" },
  ],
  [
    "an unknown version",
    "GET",
    "/v2/apps/web/versions/2020-01-01T00:00:00.000Z",
    undefined,
    404,
    { message: "App '/web' does not exist in version 2020-01-01T00:00:00.000Z" },
  ],
  [
    "a version that is no time",
    "GET",
    "/v2/apps/web/versions/x",
    undefined,
    422,
    { message: "Invalid timestamp provided 'x'. Expecting ISO-8601 datetime string." },
  ],
  [
    "roll-back with other fields (checklist 10)",
    "PUT",
    "/v2/apps/web",
    { version: "2020-01-01T00:00:00.000Z", cpus: 1 },
    422,
    { message: "The 'version' field may only be combined with the 'id' field." },
  ],
  [
    "a bad label selector (checklist 16)",
    "GET",
    "/v2/apps?label=a%3D%3D%3Db",
    undefined,
    422,
    { message: expect.stringContaining("Can not parse label selector a===b.") },
  ],
  [
    "an unknown group (checklist 19)",
    "GET",
    "/v2/apps/nope/*",
    undefined,
    404,
    { message: "Group '/nope' does not exist" },
  ],
  ["an unknown task", "DELETE", "/v2/apps/web/tasks/nope", undefined, 404, { message: "Task 'nope' does not exist" }],
  [
    "scale and wipe (checklist 58)",
    "POST",
    "/v2/tasks/delete?scale=true&wipe=true",
    { ids: [] },
    400,
    { message: "You cannot use scale and wipe at the same time." },
  ],
  [
    "a malformed task id (checklist 58)",
    "POST",
    "/v2/tasks/delete",
    { ids: ["x"] },
    400,
    { message: "Invalid task id 'x'. [unable to extract instanceId from this id]" },
  ],
  [
    "no ids",
    "POST",
    "/v2/tasks/delete",
    {},
    400,
    { message: "Invalid JSON", details: [{ path: "/ids", errors: ["error.path.missing"] }] },
  ],
  ["an unknown path", "GET", "/v2/nothing", undefined, 404, { message: "URI not found: /v2/nothing" }],
  [
    "a method that is not there",
    "PATCH",
    "/v2/deployments",
    undefined,
    405,
    { message: "PATCH is not possible here." },
  ],
  [
    "several apps with a mistake in the second",
    "PUT",
    "/v2/apps",
    [
      { id: "web", cpus: 1 },
      { id: "b", cmd: "x", cpus: -1 },
    ],
    422,
    { message: "Object is not valid", details: [{ path: "(1)/cpus", errors: ["got -1.0, expected 0.0 or more"] }] },
  ],
  [
    "a cycle of dependencies",
    "PUT",
    "/v2/apps",
    [
      { ...app, id: "a", dependencies: ["/b"] },
      { ...app, id: "b", dependencies: ["/a"] },
    ],
    422,
    { message: "Object is not valid", details: [{ path: "/", errors: ["Dependency graph has cyclic dependencies."] }] },
  ],
  [
    "a body too large",
    "POST",
    "/v2/apps",
    JSON.stringify({ ...app, cmd: "x".repeat(1_100_000) }),
    413,
    { message: "The request body is larger than 1048576 bytes." },
  ],
  [
    "nesting without end",
    "POST",
    "/v2/apps",
    "[".repeat(100_000),
    400,
    { message: "Invalid JSON", details: expect.stringContaining("nested deeper than 64 levels") },
  ],
];

test.each(cases)("%s", async (_name, method, path, body, status, answer) => {
  await using lab = await MarathonLab.open({ knownNetworks: async () => new Set(["my-calico-net"]) });
  await lab.ask("POST", "/v2/apps", app);
  await lab.deployed();
  const before = await lab.store.list("/margay/");
  const refused = await lab.ask(method, path, body);
  expect({ status: refused.status, body: refused.body }).toEqual({ status, body: answer as Record<string, unknown> });
  expect(await lab.store.list("/margay/")).toEqual(before);
  expect(lab.marathon.engine.state.apps.size).toBe(1);
});

test("a mistake in JSON is told with its line and column", () => {
  const details = (text: string) => {
    const parsed = parseJsonText(text);
    return parsed.ok ? "accepted" : parsed.details.replace("\n at [Source: request body; ", " [");
  };
  expect(details('{"a":1,}')).toBe(
    "Unexpected character ('}' (code 125)): was expecting double-quote to start field name [line: 1, column: 8]",
  );
  expect(details('{"a" 1}')).toBe(
    "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value [line: 1, column: 6]",
  );
  expect(details("[1\n2]")).toBe(
    "Unexpected character ('2' (code 50)): was expecting comma to separate entries, or ] [line: 2, column: 1]",
  );
  expect(details('{"a":01}')).toStartWith("Unexpected character ('0' (code 48)): not a number");
  expect(details('{"a":"b')).toStartWith("Unexpected character ('\"' (code 34)): a string is not ended");
  expect(details('{"a":')).toStartWith("Unexpected end-of-input");
  expect(details("{} x")).toBe(
    "Unexpected character ('x' (code 120)): expected the end of the document [line: 1, column: 4]",
  );
  expect(details('{"a":[1,2,{"b":null}]}')).toBe("accepted");
});

test("a store that is away is 503, and the request has changed nothing", async () => {
  let away = false;
  await using lab = await MarathonLab.open({
    wrapStore: (store) => ({
      ...store,
      list: (prefix, options) => store.list(prefix, options),
      transact: async (transaction) => {
        if (away)
          throw new (await import("../../base/errors.ts")).OperationError(
            "STORE_UNAVAILABLE",
            "the store cannot be reached",
            { retry: "backoff" },
          );
        return store.transact(transaction);
      },
    }),
  });
  away = true;
  const refused = await lab.ask("POST", "/v2/apps", app);
  expect([refused.status, refused.body]).toEqual([503, { message: "the store cannot be reached" }]);
  away = false;
  expect((await lab.ask("POST", "/v2/apps", app)).status).toBe(201);
});
