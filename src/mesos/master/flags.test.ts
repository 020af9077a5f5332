/** The master's flags in Mesos' spelling. */

import { describe, expect, test } from "bun:test";
import { parseMasterFlags } from "./flags.ts";

const parse = (words: readonly string[], env: Record<string, string> = {}) =>
  parseMasterFlags(["--work_dir=/tmp/x", ...words], env);

describe("master flags", () => {
  test("defaults are Mesos' own, but for the address: loopback until credentials exist", () => {
    const flags = parse([]);
    expect([flags.ip, flags.port, flags.hostname]).toEqual(["127.0.0.1", 5050, "127.0.0.1"]);
    expect(flags.settings).toMatchObject({
      allocationIntervalMs: 1_000,
      agentPingTimeoutMs: 15_000,
      agentPingTimeoutsMax: 5,
      agentReregisterTimeoutMs: 600_000,
      offerTimeoutMs: undefined,
    });
    expect(flags.shown.agent_ping_timeout).toBe("15secs");
  });

  test("both spellings, old names, switches and the environment; the command line wins", () => {
    const flags = parse(
      ["--port", "6000", "--slave_ping_timeout=2secs", "--no-filter_gpu_resources", "--weights=a=2,b=0.5"],
      {
        MESOS_PORT: "7000",
        MESOS_CLUSTER: "demo",
        MESOS_UNKNOWN: "x",
      },
    );
    expect(flags.port).toBe(6000);
    expect(flags.settings.agentPingTimeoutMs).toBe(2_000);
    expect(flags.settings.filterGpuResources).toBe(false);
    expect([...flags.settings.weights]).toEqual([
      ["a", 2],
      ["b", 0.5],
    ]);
    expect(flags.shown.cluster).toBe("demo");
  });

  test("flags of parts that do not exist here are taken", () => {
    parse(["--quorum=1", "--log_dir=/var/log", "--registry=in_memory", "--authenticate_frameworks=false", "--quiet"]);
  });

  const refused: readonly [words: readonly string[], message: string][] = [
    [["--authenticate_http_frameworks=true"], "authentication is not built yet"],
    [["--acls={}"], "authorization is not built yet"],
    [["--zk=zk://a:2181/mesos"], "ZooKeeper"],
    [["--nonsense"], "unknown flag"],
    [["word"], "not a flag"],
    [["--port=http"], "--port"],
    [["--port=70000"], "--port"],
    [["--port"], "has no value"],
    [["--agent_ping_timeout=15"], "not a duration"],
    [["--allocation_interval=0secs"], "longer than nothing"],
    [["--weights=a=-1"], "above 0"],
    [["--min_allocatable_resources=cpus"], "--min_allocatable_resources"],
    [["--root_submissions=maybe"], "true or false"],
    [["--work_dir="], "--work_dir"],
  ];
  for (const [words, message] of refused) {
    test(`${words.join(" ")} is refused`, () => expect(() => parse(words)).toThrow(message));
  }
});
