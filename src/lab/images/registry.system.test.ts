/** Pulling from a real registry (Debian's docker-registry, unpacked, on a virtual host), pushed to by a real Docker. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { connectOnHost, forwardPort } from "../host-connection.ts";
import { Lab } from "../lab.ts";
import { unpackPackages } from "./debian-packages.ts";
import { demoImages } from "./demo-images.ts";
import { pullImage } from "./registry.ts";

test("an image pushed to a registry is pulled by the machine and runs on a host that has no way out", async () => {
  const folder = mkdtempSync(join(tmpdir(), "margay-registry-"));
  const signal = AbortSignal.timeout(150_000);
  try {
    const root = await unpackPackages(["docker-registry"], folder, () => {}, signal);
    await using lab = await Lab.create({
      name: `t${process.pid}-reg`,
      hosts: 1,
      parts: "docker",
      images: demoImages({ names: ["redis"] }),
    });
    const [host] = lab.state.hosts;
    if (host === undefined) throw new Error("no host");
    const config = join(folder, "config.yml");
    writeFileSync(
      config,
      `version: 0.1\nstorage: {filesystem: {rootdirectory: ${folder}/data}}\nhttp: {addr: ":5000"}\n`,
    );
    const registry = lab.exec("host1", [join(root, "usr/bin/docker-registry"), "serve", config], { signal });
    // Ends with its host.
    registry.catch(() => undefined);
    const deadlineMs = systemClock.monotonicMs() + 20_000;
    while (
      !(await connectOnHost(host.pid, host.address, 5000).then(
        () => true,
        () => false,
      ))
    ) {
      if (systemClock.monotonicMs() > deadlineMs) throw new Error("the registry does not listen");
      await systemClock.sleep(50);
    }
    const name = `${host.address}:5000/library/redis:latest`;
    await lab.mustExec("host1", ["docker", "tag", "redis", name]);
    await lab.mustExec("host1", ["docker", "push", name]);
    await lab.mustExec("host1", ["docker", "rmi", "redis", name]);

    using forward = forwardPort({
      hostPid: host.pid,
      address: "127.0.0.1",
      port: 0,
      toAddress: host.address,
      toPort: 5000,
    });
    const lines: string[] = [];
    const architecture = process.arch === "x64" ? "amd64" : process.arch;
    const pull = (repository: string) =>
      pullImage(
        {
          repository,
          reference: "latest",
          tag: "redis:latest",
          architecture,
          registry: `http://127.0.0.1:${forward.port}`,
        },
        (line) => lines.push(line),
        signal,
      );
    const archive = join(folder, "redis.tar");
    writeFileSync(archive, await pull("library/redis"));
    expect(lines[0]).toContain("pulling library/redis:latest");
    await lab.mustExec("host1", ["docker", "load", "-i", archive]);
    const version = await lab.mustExec("host1", ["docker", "run", "--rm", "redis", "redis-server", "--version"]);
    expect(version).toContain("Redis server v=");
    await expect(pull("library/unknown")).rejects.toThrow("answers 404");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 160_000);
