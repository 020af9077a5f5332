/** The create form and JSON mode say the same application, and refusals find their field. */

import { describe, expect, test } from "bun:test";
import { appFromForm, emptyForm, fieldOfPath, formFromApp } from "./app-form.ts";

const filled = {
  ...emptyForm,
  id: "my-docker-task",
  image: "nginx",
  networkName: "my-calico-net",
  env: "A=1\nB=x=y",
  labels: "team=web",
  checkProtocol: "HTTP" as const,
};

test("the form becomes an application in Marathon's present form", () => {
  expect(appFromForm(filled)).toEqual({
    id: "my-docker-task",
    cpus: 0.1,
    mem: 64,
    instances: 1,
    env: { A: "1", B: "x=y" },
    labels: { team: "web" },
    container: { type: "DOCKER", docker: { image: "nginx" } },
    networks: [{ mode: "container", name: "my-calico-net" }],
    healthChecks: [
      {
        protocol: "HTTP",
        path: "/",
        port: 80,
        gracePeriodSeconds: 300,
        intervalSeconds: 10,
        timeoutSeconds: 5,
        maxConsecutiveFailures: 3,
      },
    ],
  });
});

test("switching to JSON and back changes nothing", () => {
  expect(formFromApp(appFromForm(filled))).toEqual(filled);
});

test("members that the form does not show survive the form", () => {
  const app = {
    id: "/a",
    constraints: [["hostname", "UNIQUE"]],
    env: { S: { secret: "s" } },
    container: { type: "DOCKER", docker: { image: "i" }, volumes: [] },
  };
  const back = appFromForm(formFromApp(app), app);
  expect(back).toMatchObject({
    constraints: [["hostname", "UNIQUE"]],
    env: { S: { secret: "s" } },
    container: { volumes: [] },
  });
});

test("what is no number stays as typed, for the server to name it", () => {
  expect(appFromForm({ ...filled, cpus: "many", instances: "" })).toMatchObject({ cpus: "many", instances: "" });
});

describe("all three networking generations show their network", () => {
  const generations: readonly [string, Record<string, unknown>][] = [
    ["networks", { networks: [{ mode: "container", name: "my-net" }] }],
    [
      "ipAddress with USER",
      { ipAddress: { networkName: "my-net" }, container: { docker: { image: "i", network: "USER" } } },
    ],
    [
      "the net parameter",
      { ipAddress: {}, container: { docker: { image: "i", parameters: [{ key: "net", value: "my-net" }] } } },
    ],
  ];
  for (const [name, app] of generations)
    test(name, () => {
      const form = formFromApp(app);
      expect(form).toMatchObject({ networkMode: "container", networkName: "my-net" });
      const again = appFromForm(form, app);
      expect(again.networks).toEqual([{ mode: "container", name: "my-net" }]);
      expect(JSON.stringify(again)).not.toContain("parameters");
    });
});

describe("an error path finds its field", () => {
  const paths: readonly [string, string | undefined][] = [
    ["/id", "id"],
    ["/container/docker/image", "image"],
    ["/networks(0)/name", "networkName"],
    ["/networks/0/name", "networkName"],
    ["/healthChecks(0)/port", "checkPort"],
    ["/upgradeStrategy/minimumHealthCapacity", undefined],
    ["/", undefined],
  ];
  for (const [path, field] of paths) test(path, () => expect(fieldOfPath(path)).toBe(field as never));
});
