/** Old command lines of Mesos' agent start; wrong ones are refused with the flag's name. */

import { describe, expect, test } from "bun:test";
import { BadInput } from "../../base/errors.ts";
import { parseAgentFlags, parseMasters } from "./agent-flags.ts";

const parse = (argv: readonly string[], env: Record<string, string> = {}) =>
  parseAgentFlags(["--master=10.0.0.1:5050", ...argv], env);

test("defaults, values with = and without, switches, and the environment below the words", () => {
  const flags = parse(
    [
      "--hostname",
      "host1",
      "--docker_remove_delay=1mins",
      "--no-docker_kill_orphans",
      "--cgroups_enable_cfs",
      "--port=6051",
    ],
    { MESOS_HOSTNAME: "other", MESOS_WORK_DIR: "/w", MESOS_TASK_ID: "x" },
  );
  expect(flags).toMatchObject({
    hostname: "host1",
    work_dir: "/w",
    port: 6051,
    docker_remove_delay: 60_000,
    docker_kill_orphans: false,
    cgroups_enable_cfs: true,
    executor_shutdown_grace_period: 5_000,
    sandbox_directory: "/mnt/mesos/sandbox",
  });
});

test("an old command line starts", () => {
  const flags = parse([
    "--containerizers=docker,mesos",
    "--isolation=posix/cpu",
    "--quiet",
    "--no-hostname_lookup",
    "--log_dir=/l",
  ]);
  expect(flags.containerizers).toBe("docker,mesos");
});

test("registry credentials are not shown", () => {
  expect(parse(["--docker_config={}"]).shown.docker_config).toBe("[secret]");
});

describe("refused", () => {
  const rows: readonly [string, readonly string[], Record<string, string>][] = [
    ["--colour", ["--colour=red"], {}],
    ["--port", ["--port=70000"], {}],
    ["--docker_remove_delay", ["--docker_remove_delay=soon"], {}],
    ["--containerizers", ["--containerizers=mesos"], {}],
    ["--authenticate_http_readwrite", ["--authenticate_http_readwrite"], {}],
    ["--reconfiguration_policy", ["--reconfiguration_policy=hope"], {}],
    ["--docker_kill_orphans", [], { MESOS_DOCKER_KILL_ORPHANS: "maybe" }],
    ["word", ["word"], {}],
    ["--hostname", ["--hostname", "--port=1"], {}],
  ];
  for (const [path, argv, env] of rows) {
    test([...argv, ...Object.values(env)].join(" "), () => {
      expect(() => parse(argv, env)).toThrow(BadInput);
      expect(() => parse(argv, env)).toThrow(`${path}: `);
    });
  }
  test("no master at all", () => expect(() => parseAgentFlags([], {})).toThrow("--master: is missing"));
});

test("masters are named with and without scheme, several with commas", () => {
  expect(parseMasters("http://10.0.0.1:5050, 10.0.0.2:5050")).toEqual(["http://10.0.0.1:5050", "http://10.0.0.2:5050"]);
  expect(() => parseMasters("zk://10.0.0.1/mesos")).toThrow("--master: ");
  expect(() => parseMasters("http://10.0.0.1:5050/path")).toThrow("--master: ");
});
