/**
 * The main job: an application posted as Marathon JSON runs, healthy, on addresses of its own; it is scaled over the
 * hosts, shown, refused where it is wrong, and gone without a trace. On the embedded store and on a real etcd.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { addressesOf, Cluster, guideApps } from "./cluster.ts";
import { fetchWords } from "./connections.ts";
import { eventually } from "./eventually.ts";
import { traces } from "./traces.ts";

for (const store of ["embedded", "etcd"] as const)
  describe(`on the ${store} store`, () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.create({ hosts: 3, name: `t-apps-${store}`, store });
      await cluster.createNetwork("my-calico-net");
      await cluster.createNetwork("other-calico-net");
    }, 240_000);
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
    }, 60_000);

    for (const [form, app] of Object.entries(guideApps))
      test(`the guide's application (${form}) is stored, runs healthy on an address of its own, and goes`, async () => {
        const { status, body, headers } = await cluster.api("POST", "/v2/apps", app);
        expect(status).toBe(201);
        expect(body as unknown).toMatchObject({ id: "/my-docker-task", cpus: 0.1, mem: 64, instances: 1 });
        expect(headers.get("marathon-deployment-id")).toBeTruthy();
        const [task] = await cluster.healthy("my-docker-task", 1);
        const [address] = addressesOf(task === undefined ? [] : [task]);
        expect(address).toMatch(/^192\.168\./);
        expect(cluster.hosts).toContain(task?.host ?? "");
        const page = await cluster.on(
          "host1",
          "docker",
          "run",
          "--rm",
          "--net",
          "my-calico-net",
          "tools",
          ...fetchWords(address ?? "", 5),
        );
        expect(page).toContain("html");
        const outsider = [
          "docker",
          "run",
          "--rm",
          "--net",
          "other-calico-net",
          "tools",
          ...fetchWords(address ?? "", 2),
        ];
        expect((await cluster.tried("host1", ...outsider)).exitCode).not.toBe(0);
        await cluster.destroy("my-docker-task");
      }, 120_000);

    test("instances spread over the hosts, each on an address of its own, and shrink again", async () => {
      await cluster.api("POST", "/v2/apps", guideApps["network USER"]);
      await cluster.healthy("my-docker-task", 1);
      expect((await cluster.api("PUT", "/v2/apps/my-docker-task", { instances: 3 })).status).toBe(200);
      const tasks = await cluster.healthy("my-docker-task", 3);
      expect(new Set(tasks.map(({ host }) => host)).size).toBe(3);
      expect(new Set(addressesOf(tasks)).size).toBe(3);
      const { body } = await cluster.api("GET", "/v2/apps/my-docker-task");
      expect((body as { app: unknown }).app).toMatchObject({
        tasksRunning: 3,
        tasksHealthy: 3,
        tasksUnhealthy: 0,
        tasksStaged: 0,
        instances: 3,
      });
      await cluster.api("PUT", "/v2/apps/my-docker-task", { instances: 1 });
      await cluster.healthy("my-docker-task", 1);
      await cluster.destroy("my-docker-task");
    }, 120_000);

    test("info, ping, deployments and the event stream answer in Marathon's shapes", async () => {
      expect(((await cluster.api("GET", "/ping")).body as string).trim()).toBe("pong");
      expect((await cluster.api("GET", "/v2/info")).body as unknown).toMatchObject({
        name: "marathon",
        frameworkId: expect.any(String),
      });
      expect((await cluster.api("GET", "/v2/deployments")).body as unknown).toEqual([]);
      const stop = new AbortController();
      const stream = await cluster.lab.api("/v2/events", {
        signal: stop.signal,
        headers: { Accept: "text/event-stream" },
      });
      expect(stream.headers.get("content-type")).toContain("text/event-stream");
      const events = eventTypes(stream);
      await cluster.api("POST", "/v2/apps", guideApps["network USER"]);
      const seen = new Set<string>();
      for await (const type of events) {
        seen.add(type);
        if (
          ["api_post_event", "deployment_info", "status_update_event", "deployment_success"].every((each) =>
            seen.has(each),
          )
        )
          break;
      }
      stop.abort();
      await cluster.destroy("my-docker-task");
    }, 90_000);

    test("the master answers in Mesos' shapes", async () => {
      const get = async (path: string) => (await cluster.lab.masterApi(path)).json() as Promise<never>;
      expect((await cluster.lab.masterApi("/health")).status).toBe(200);
      expect(await get("/version")).toMatchObject({ version: expect.any(String) });
      expect(
        ((await get("/slaves")) as { slaves: { hostname: string }[] }).slaves.map(({ hostname }) => hostname).sort(),
      ).toEqual([...cluster.hosts]);
      expect(await get("/master/state")).toMatchObject({
        activated_slaves: 3,
        frameworks: [{ name: "marathon", active: true }],
      });
      expect(await get("/metrics/snapshot")).toMatchObject({ "master/slaves_active": 3 });
    });

    describe("bad input is refused in Marathon's shape, names the field and changes nothing", () => {
      const good = guideApps["networks (1.5)"];
      const cases: readonly [name: string, body: unknown, status: number, text: string][] = [
        ["malformed JSON", '{"id": "x", ', 400, "Invalid JSON"],
        [
          "an unknown network",
          { ...good, id: "bad", networks: [{ mode: "container", name: "nobody-made-this" }] },
          422,
          "networks",
        ],
        ["a word for a number", { ...good, id: "bad", cpus: "many" }, 400, "/cpus"],
        ["negative memory", { ...good, id: "bad", mem: -1 }, 422, "/mem"],
        ["negative instances", { ...good, id: "bad", instances: -1 }, 422, "/instances"],
        ["a bad id", { ...good, id: "Not_An Id" }, 422, "/id"],
        ["an oversized body", { ...good, id: "bad", labels: { big: "x".repeat(12 * 1024 * 1024) } }, 413, ""],
      ];
      for (const [name, body, status, text] of cases)
        test(name, async () => {
          const answer = await cluster.api("POST", "/v2/apps", body);
          expect(answer.status).toBe(status);
          expect(JSON.stringify(answer.body)).toContain(text);
          expect((await cluster.api("GET", "/v2/apps")).body as unknown).toEqual({ apps: [] });
        });
      test("an unknown app", async () => {
        const { status, body } = await cluster.api("GET", "/v2/apps/nobody");
        expect({ status, body: body as unknown }).toEqual({
          status: 404,
          body: { message: "App '/nobody' does not exist" },
        });
      });
      test("a duplicate id", async () => {
        await cluster.api("POST", "/v2/apps", { ...good, instances: 0 });
        const { status, body } = await cluster.api("POST", "/v2/apps", good);
        expect(status).toBe(409);
        expect((body as { message: string }).message).toContain("already exists");
        await cluster.destroy("my-docker-task");
      });
      test("more than any host has: it waits, and the queue says why", async () => {
        await cluster.api("POST", "/v2/apps", { ...good, id: "huge", cpus: 4000 });
        await eventually("the queue gives a reason", async () => {
          const { body } = await cluster.api("GET", "/v2/queue?embed=lastUnusedOffers");
          expect(JSON.stringify(body)).toContain("InsufficientCpus");
        });
        expect(await cluster.tasks("huge")).toEqual([]);
        await cluster.destroy("huge");
      }, 60_000);
    });

    test("when apps and networks are gone, nothing of theirs is left on any host or in the store", async () => {
      for (const name of ["my-calico-net", "other-calico-net"])
        await cluster.on("host3", "docker", "network", "rm", name);
      await eventually("no trace is left", async () => expect(await traces(cluster)).toEqual([]), {
        withinMs: 90_000,
        everyMs: 1000,
      });
    }, 120_000);
  });

async function* eventTypes(response: Response): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    const lines = text.split(/\r?\n/);
    text = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("event:")) yield line.slice("event:".length).trim();
  }
}
