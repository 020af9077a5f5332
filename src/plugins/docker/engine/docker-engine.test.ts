/** The Engine client against a socket that answers as Docker does, and its streams cut at every byte. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { DockerEngine } from "./docker-engine.ts";
import { type EngineError, engineStatus, isEngineUnavailable } from "./engine-error.ts";
import type { EngineSignal } from "./events.ts";
import { splitReference } from "./images.ts";
import { JsonObjectSplitter } from "./json-stream.ts";
import { OutputDemultiplexer } from "./log-stream.ts";
import { Credential, credentialFor, registryOf } from "./registry-auth.ts";

const encode = (text: string) => new TextEncoder().encode(text);

describe("streams", () => {
  test("objects are found however the bytes are cut", () => {
    const text = '{"a":"}{\\"","b":{"c":1}}\n{"d":2}{"e":"ü"}';
    const bytes = encode(text);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const splitter = new JsonObjectSplitter();
      const objects = [...splitter.push(bytes.subarray(0, cut)), ...splitter.push(bytes.subarray(cut))];
      expect(objects).toEqual([{ a: '}{"', b: { c: 1 } }, { d: 2 }, { e: "ü" }]);
    }
  });

  test("output frames are told apart however the bytes are cut", () => {
    const frame = (stream: number, text: string) => {
      const header = new Uint8Array([stream, 0, 0, 0, 0, 0, 0, text.length]);
      return [...header, ...encode(text)];
    };
    const bytes = new Uint8Array([...frame(1, "hello\n"), ...frame(2, "oops"), ...frame(1, "")]);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const demultiplexer = new OutputDemultiplexer();
      const chunks = [...demultiplexer.push(bytes.subarray(0, cut)), ...demultiplexer.push(bytes.subarray(cut))];
      const text = (stream: string) =>
        chunks
          .filter((chunk) => chunk.stream === stream)
          .map((chunk) => new TextDecoder().decode(chunk.bytes))
          .join("");
      expect([text("stdout"), text("stderr")]).toEqual(["hello\n", "oops"]);
    }
  });
});

describe("images and registries", () => {
  const references: readonly [reference: string, repository: string, tag: string, registry: string][] = [
    ["nginx", "nginx", "latest", "docker.io"],
    ["nginx:1.25", "nginx", "1.25", "docker.io"],
    ["registry:5000/a/b", "registry:5000/a/b", "latest", "registry:5000"],
    ["registry:5000/a/b:2", "registry:5000/a/b", "2", "registry:5000"],
    ["library/nginx", "library/nginx", "latest", "docker.io"],
    ["nginx@sha256:abc", "nginx", "sha256:abc", "docker.io"],
    ["localhost/x:1@sha256:abc", "localhost/x", "sha256:abc", "localhost"],
  ];
  for (const [reference, repository, tag, registry] of references) {
    test(`${reference} is ${repository} at ${tag} of ${registry}`, () => {
      expect(splitReference(reference)).toEqual({ repository, tag });
      expect(registryOf(reference)).toBe(registry);
    });
  }

  test("both forms of the credentials file are read, and a credential never prints its secret", () => {
    const auth = Buffer.from("user:pa:ss").toString("base64");
    for (const config of [{ auths: { "registry:5000": { auth } } }, { "https://registry:5000/v1/": { auth } }]) {
      const credential = credentialFor("registry:5000/a", JSON.stringify(config));
      const fields = JSON.parse(Buffer.from(credential.header(), "base64url").toString());
      expect(fields).toMatchObject({ username: "user", password: "pa:ss" });
      expect(`${credential} ${JSON.stringify({ credential })}`).not.toContain("pa:ss");
    }
    expect(credentialFor("nginx", '{"auths":{"registry:5000":{"auth":"eDp5"}}}').header()).toBe(
      new Credential({}).header(),
    );
    expect(() => credentialFor("nginx", "nonsense")).toThrow("is not JSON");
  });
});

describe("against a daemon's socket", () => {
  let directory: string;
  let socketPath: string;
  let apiVersion = "1.41";
  let eventConnections = 0;
  const paths: string[] = [];
  let server: ReturnType<typeof Bun.serve>;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "margay-engine-"));
    socketPath = join(directory, "docker.sock");
    server = Bun.serve({
      unix: socketPath,
      async fetch(request) {
        const url = new URL(request.url);
        paths.push(`${request.method} ${url.pathname}${url.search}`);
        if (url.pathname === "/_ping") return new Response("OK", { headers: { "Api-Version": apiVersion } });
        const path = url.pathname.replace(/^\/v[\d.]+/, "");
        if (path === "/containers/gone/json")
          return Response.json({ message: "No such container: gone" }, { status: 404 });
        if (path === "/containers/up/start") return new Response(null, { status: 304 });
        if (path === "/images/create") {
          return new Response('{"status":"Pulling"}{"errorDetail":{"message":"denied"},"error":"denied"}');
        }
        if (path === "/events") {
          eventConnections += 1;
          return new Response(
            `{"Type":"network","Action":"create","time":17,"Actor":{"ID":"n${eventConnections}","Attributes":{"name":"a"}}}`,
          );
        }
        if (path === "/containers/slow/json") {
          await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
        }
        return new Response("not here", { status: 501 });
      },
    });
  });

  afterAll(async () => {
    await server.stop(true);
    rmSync(directory, { recursive: true });
  });

  test("the API version is the newest both speak, from 1.24 to 1.44", async () => {
    for (const [daemon, spoken] of [
      ["1.24", "1.24"],
      ["1.41", "1.41"],
      ["1.52", "1.44"],
    ] as const) {
      apiVersion = daemon;
      const engine = new DockerEngine({ clock: systemClock, socketPath });
      await engine.containers.start("up");
      expect(paths.at(-1)).toBe(`POST /v${spoken}/containers/up/start`);
    }
    apiVersion = "1.18";
    await expect(new DockerEngine({ clock: systemClock, socketPath }).version()).rejects.toThrow("1.24 is needed");
    apiVersion = "1.41";
  });

  test("an answer, a refusal and a daemon that is away are three different things", async () => {
    const engine = new DockerEngine({ clock: systemClock, socketPath });
    expect(await engine.containers.start("up")).toBe("already-running");
    const refused = await engine.containers.inspect("gone").catch((error: unknown) => error);
    expect(engineStatus(refused)).toBe(404);
    expect((refused as EngineError).message).toBe("No such container: gone");
    const away = await new DockerEngine({ clock: systemClock, socketPath: join(directory, "none.sock") }).containers
      .list()
      .catch((error: unknown) => error);
    expect(isEngineUnavailable(away)).toBe(true);
    expect(engineStatus(away)).toBeUndefined();
  });

  test("a failed pull inside a 200 is a failure, and no tag means latest", async () => {
    const engine = new DockerEngine({ clock: systemClock, socketPath });
    await expect(engine.images.pull("nginx")).rejects.toThrow("denied");
    expect(paths.at(-1)).toContain("fromImage=nginx&tag=latest");
  });

  test("an aborted call ends with the caller's reason", async () => {
    const engine = new DockerEngine({ clock: systemClock, socketPath });
    await engine.version();
    const abort = new AbortController();
    const call = engine.containers.inspect("slow", { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  test("the event stream reconnects, says so, and asks for what it may have missed", async () => {
    const engine = new DockerEngine({ clock: systemClock, socketPath });
    const abort = new AbortController();
    const seen: EngineSignal["kind"][] = [];
    for await (const signal of engine.events.follow({ signal: abort.signal, filters: { type: ["network"] } })) {
      seen.push(signal.kind);
      if (signal.kind === "event" && signal.event.id === "n2") abort.abort();
    }
    expect(seen).toEqual(["connected", "event", "disconnected", "connected", "event"]);
    expect(paths.filter((path) => path.includes("/events")).at(-1)).toContain("since=17");
  });
});
