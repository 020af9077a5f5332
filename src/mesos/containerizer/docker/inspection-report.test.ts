/** What is read from Docker's inspection, and what its refusals mean. */

import { describe, expect, test } from "bun:test";
import { containerInspection } from "../../../plugins/docker/engine/container-shapes.ts";
import { addressesOf, reportOf } from "./inspection-report.ts";
import { mayPass, startFailureCode } from "./start-failure.ts";

const inspect = (NetworkMode: string, NetworkSettings: Record<string, unknown>, State: Record<string, unknown> = {}) =>
  containerInspection.parse({ Id: "1", Name: "/c", State, Config: {}, HostConfig: { NetworkMode }, NetworkSettings });

describe("the container's address", () => {
  const net = { NetworkID: "id1", IPAddress: "192.168.3.7", GlobalIPv6Address: "" };
  const rows: readonly [string, string, Record<string, unknown>, readonly string[]][] = [
    ["on a user's network", "my-net", { Networks: { "my-net": net } }, ["192.168.3.7"]],
    ["on a network given by its id", "id1", { Networks: { "my-net": net } }, ["192.168.3.7"]],
    ["never the default bridge's", "my-net", { IPAddress: "172.17.0.2", Networks: { "my-net": net } }, ["192.168.3.7"]],
    [
      "on the default network",
      "default",
      { Networks: { bridge: { ...net, IPAddress: "172.17.0.3" } } },
      ["172.17.0.3"],
    ],
    ["of an old daemon", "bridge", { IPAddress: "172.17.0.2", Networks: {} }, ["172.17.0.2"]],
    [
      "of both families",
      "n",
      { Networks: { n: { ...net, GlobalIPv6Address: "fd80::7" } } },
      ["192.168.3.7", "fd80::7"],
    ],
    ["on the host's network there is none", "host", { Networks: { host: { IPAddress: "" } } }, []],
    ["after the end there is none", "my-net", { Networks: { "my-net": { ...net, IPAddress: "" } } }, []],
  ];
  for (const [name, mode, settings, expected] of rows) {
    test(name, () =>
      expect(addressesOf(inspect(mode, settings)).map((one) => one.ip_address ?? "")).toEqual([...expected]),
    );
  }
});

describe("the phase", () => {
  const ran = { StartedAt: "2026-01-02T03:04:05.6Z", FinishedAt: "2026-01-02T03:04:07Z" };
  const rows: readonly [string, Record<string, unknown>, string][] = [
    ["made, not started", { Status: "created" }, "created"],
    ["started", { Status: "running", Running: true, StartedAt: ran.StartedAt }, "running"],
    ["paused is running", { Status: "paused", Running: true, StartedAt: ran.StartedAt }, "running"],
    ["ended", { Status: "exited", ...ran }, "exited"],
    ["dead", { Status: "dead", ...ran }, "exited"],
  ];
  for (const [name, state, phase] of rows) {
    test(name, () => expect(reportOf(inspect("bridge", { Networks: {} }, state)).phase).toBe(phase as never));
  }
});

describe("why a start failed", () => {
  const rows: readonly [string, number][] = [
    [
      'OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/bin/x": stat /bin/x: no such file or directory: unknown',
      127,
    ],
    ['OCI runtime create failed: exec: "x": executable file not found in $PATH: unknown', 127],
    [
      'OCI runtime create failed: starting container process caused: exec: "/etc/passwd": permission denied: unknown',
      126,
    ],
    ['failed to create task: exec: "/bin": is a directory: unknown', 126],
    ["network no-such-net not found", 125],
    ['error gathering device information while adding custom device "/dev/x": no such file or directory', 125],
    ["failed to create endpoint e on network n: IpamDriver.RequestAddress: no free address in pool", 125],
  ];
  for (const [message, code] of rows)
    test(`${code}: ${message.slice(0, 70)}`, () => expect(startFailureCode(message)).toBe(code as never));
  test("only trouble of the moment is worth another start", () => {
    expect(
      mayPass(500, "failed to create endpoint: dial unix /run/docker/plugins/calico.sock: connection refused"),
    ).toBe(true);
    expect(mayPass(500, "failed to create endpoint: no free address in pool")).toBe(false);
    expect(mayPass(404, "network connection refused not found")).toBe(false);
  });
});
