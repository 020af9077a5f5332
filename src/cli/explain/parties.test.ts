/** What words of the command line mean, and which of them are refused. */
import { expect, test } from "bun:test";
import { readCluster } from "../../policy/explain/cluster-model.ts";
import { endpoint, hostEndpoint, node } from "../../policy/testing/cluster-documents.ts";
import { findHostEndpoint, findParty, type Places } from "./parties.ts";

const model = readCluster(
  Object.entries({
    ...node("h1", "172.31.0.1/24"),
    ...endpoint("aaaa1111", "10.0.0.1", { profiles: ["red"] }),
    ...endpoint("aaaa2222", "10.0.0.2", { profiles: ["blue"] }),
    ...hostEndpoint("h1-eth0", { node: "h1", interfaceName: "eth0" }),
    ...endpoint("bbbb3333", "10.0.0.3", { host: "h2", profiles: ["red"] }),
  }),
);
const instance = (id: string, address: string) =>
  JSON.stringify({
    id: `web.instance-${id}`,
    taskId: `web.instance-${id}._app.1`,
    appId: "/web",
    networkAddresses: [{ ipAddress: address }],
  });
const containers: Readonly<Record<string, readonly string[]>> = {
  one: ["aaaa1111"],
  both: ["aaaa1111", "aaaa2222"],
  nowhere: ["gone"],
};
const places: Places = {
  model,
  instances: [instance("x", "10.0.0.2"), instance("y", "10.0.0.3")],
  containerEndpoints: async (name) => (Object.hasOwn(containers, name) ? (containers[name] ?? []) : []),
};

const cases: readonly [word: string, title: string, kind: string, address: string][] = [
  ["10.0.0.1", "endpoint", "endpoint", "10.0.0.1"],
  ["172.31.0.1", "host h1", "host", "172.31.0.1"],
  ["8.8.8.8", "outside", "outside", "8.8.8.8"],
  ["aaaa1111", "endpoint", "endpoint", "10.0.0.1"],
  ["caliaaaa2222", "endpoint", "endpoint", "10.0.0.2"],
  ["bbbb", "endpoint", "endpoint", "10.0.0.3"],
  ["one", "container one", "endpoint", "10.0.0.1"],
  ["both@blue", "container both", "endpoint", "10.0.0.2"],
  ["web.instance-x", "task web.instance-x", "endpoint", "10.0.0.2"],
  ["web.instance-y._app.1", "task web.instance-y._app.1", "endpoint", "10.0.0.3"],
  ["/web", "app /web", "endpoint", "10.0.0.2"],
  ["web", "app /web", "endpoint", "10.0.0.2"],
  ["h1", "host h1", "host", "172.31.0.1"],
];
for (const [word, title, kind, address] of cases)
  test(`"${word}" is ${title}`, async () => {
    const found = await findParty(places, word, "--from");
    const party = found.at(4);
    expect([found.title, party?.kind as string, party?.address as string]).toEqual([title, kind, address]);
    expect(found.at(6)).toBeUndefined();
  });

test("of an app with several endpoints it says which one is meant", async () => {
  expect((await findParty(places, "/web", "--to")).notes).toEqual([
    "app /web has 2 endpoints; this is about 10.0.0.2 on h1",
  ]);
});

const refused: readonly [word: string, because: string][] = [
  ["nobody", 'nobody is called "nobody"'],
  ["h2", 'nobody is called "h2"'],
  ["nowhere", 'nobody is called "nowhere"'],
  ["both", '"both" means 2 endpoints: 10.0.0.1 (red) on h1; 10.0.0.2 (blue) on h1'],
  ["aaaa", '"aaaa" means 2 endpoints'],
  ["both@green", 'nobody is called "both@green"'],
];
for (const [word, because] of refused)
  test(`"${word}" is refused`, async () => {
    await expect(findParty(places, word, "--from")).rejects.toThrow(because);
  });

test("a host endpoint goes by its name or key, and by nothing else", () => {
  const key = "/calico/resources/v3/projectcalico.org/hostendpoints/h1-eth0";
  expect([key, "h1-eth0", "h1", "eth0", "aaaa1111"].map((word) => findHostEndpoint(model, word)?.name)).toEqual([
    "h1-eth0",
    "h1-eth0",
    undefined,
    undefined,
    undefined,
  ]);
});
