/** Files for a sandbox: where they go, what is unpacked, what is refused. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { URI } from "../protocol/command-info.ts";
import { LaunchFailed } from "./containerizer.ts";
import { fetchUris, targetName, unpackCommand } from "./fetcher.ts";

let folder: string;
let server: Bun.Server<undefined>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "margay-fetcher-"));
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      request.url.endsWith("/file") ? new Response("from the web") : new Response("", { status: 404 }),
  });
});
afterAll(async () => {
  await server.stop(true);
  rmSync(folder, { recursive: true });
});

async function fetchInto(name: string, uris: readonly URI[]): Promise<string> {
  const sandboxDirectory = join(folder, name);
  mkdirSync(sandboxDirectory);
  const task = { name, task_id: { value: name }, agent_id: { value: "a" }, command: { uris } };
  const launch = {
    containerId: "c",
    agentId: "a",
    frameworkId: "f",
    framework: { name: "", user: "" },
    task,
    sandboxDirectory,
    runDirectory: folder,
  };
  await fetchUris({ launch, frameworksHome: folder, clock: systemClock, log: silentLog }, new AbortController().signal);
  return sandboxDirectory;
}

test("files come from the web, from paths and from the frameworks' home", async () => {
  writeFileSync(join(folder, "tool"), "#!/bin/sh\n");
  const sandbox = await fetchInto("all", [
    { value: `http://127.0.0.1:${server.port}/file` },
    { value: `file://${folder}/tool`, executable: true },
    { value: "tool", output_file: "sub/renamed" },
  ]);
  expect(readFileSync(join(sandbox, "file"), "utf8")).toBe("from the web");
  expect(statSync(join(sandbox, "tool")).mode & 0o777).toBe(0o755);
  expect(readFileSync(join(sandbox, "sub/renamed"), "utf8")).toBe("#!/bin/sh\n");
});

test("archives are unpacked unless that is not wanted", async () => {
  mkdirSync(join(folder, "packed"));
  writeFileSync(join(folder, "packed/inside"), "content");
  expect(Bun.spawnSync(["tar", "-C", join(folder, "packed"), "-czf", join(folder, "a.tgz"), "inside"]).exitCode).toBe(
    0,
  );
  const sandbox = await fetchInto("unpacked", [{ value: join(folder, "a.tgz") }]);
  expect(readFileSync(join(sandbox, "inside"), "utf8")).toBe("content");
  const kept = await fetchInto("kept", [{ value: join(folder, "a.tgz"), extract: false }]);
  expect(() => statSync(join(kept, "inside"))).toThrow();
});

describe("a failure fails the launch and is told in the sandbox", () => {
  const rows: readonly [string, () => URI][] = [
    ["missing-page", () => ({ value: `http://127.0.0.1:${server.port}/none` })],
    ["missing-file", () => ({ value: "/no/such/file" })],
    ["absolute-target", () => ({ value: "tool", output_file: "/etc/x" })],
    ["climbing-target", () => ({ value: "tool", output_file: "../x" })],
    ["unknown-scheme", () => ({ value: "hdfs://namenode/file" })],
    ["broken-archive", () => ({ value: "broken.tgz" })],
  ];
  for (const [name, uri] of rows) {
    test(name, async () => {
      writeFileSync(join(folder, "broken.tgz"), "not an archive");
      await expect(fetchInto(name, [uri()])).rejects.toThrow(LaunchFailed);
      expect(readFileSync(join(folder, name, "stderr"), "utf8")).toContain("Failed to fetch");
    });
  }
});

test("names and unpackers", () => {
  expect(targetName({ value: "http://h/a%20b/c.tgz?x=1" })).toBe("c.tgz");
  expect(unpackCommand("a.tar.gz", "/s/a.tar.gz", "/s")).toEqual(["tar", "-C", "/s", "-xf", "/s/a.tar.gz"]);
  expect(unpackCommand("a.zip", "/s/a.zip", "/s")?.[0]).toBe("unzip");
  expect(unpackCommand("a.gz", "/s/a.gz", "/s")?.[0]).toBe("gunzip");
  expect(unpackCommand("a.jar", "/s/a.jar", "/s")).toBeUndefined();
});
