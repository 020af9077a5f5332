/** `margay marathon` as typed: help, and flags that cannot be. What it runs is tested in src/marathon. */

import { expect, test } from "bun:test";
import { role } from "./marathon.ts";

async function run(argv: readonly string[], env: Record<string, string> = {}) {
  let out = "";
  let err = "";
  const code = await role.run(argv, {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    stdin: async () => "",
    env,
    signal: AbortSignal.abort(),
  });
  return { code, out, err };
}

test("--help lists every flag", async () => {
  const { code, out } = await run(["--help"]);
  expect(code).toBe(0);
  for (const flag of ["--master", "--http_port", "--default_network_name", "--check_networks"])
    expect(out).toContain(flag);
});

const refused: readonly [argv: string[], env: Record<string, string>, sentence: string][] = [
  [[], {}, "--master: it is missing (expected http://HOST:5050)"],
  [
    ["--master=zk://10.0.0.1:2181/mesos"],
    {},
    '--master: "zk://10.0.0.1:2181/mesos" is not the address of a master (expected http://HOST:5050)',
  ],
  [
    ["--master", "host:5050", "--http_port=high"],
    {},
    '--http_port: "high" is not possible (expected a whole number from 0 to 65535)',
  ],
  [
    ["--master=host:5050"],
    { MARATHON_LOCAL_PORT_MIN: "0" },
    '--local_port_min: "0" is not possible (expected a whole number from 1 to 65535)',
  ],
  [
    ["--master=host:5050", "--check_networks=maybe"],
    {},
    '--check_networks: "maybe" is not possible (expected on or off)',
  ],
  [["--masters=host:5050"], {}, "Unknown option '--masters'"],
];
for (const [argv, env, sentence] of refused) {
  test(`"${argv.join(" ")}" is refused with exit code 112: ${sentence.slice(0, 40)}`, async () => {
    const { code, err } = await run(argv, env);
    expect(code).toBe(112);
    expect(err).toStartWith(`margay marathon: ${sentence}`);
  });
}
