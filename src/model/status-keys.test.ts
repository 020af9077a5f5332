/** The keys Felix' status lies under, letter by letter. */
import { expect, test } from "bun:test";
import { hostEndpointStatusKey, hostStatusKey, lastReportedStatusKey, workloadStatusKey } from "./status-keys.ts";

test("14: a region stands in the key; none is no-region; one with a slash is refused", () => {
  expect(hostStatusKey("europe", "h1")).toBe("/calico/felix/v2/region-europe/host/h1/status");
  expect(hostStatusKey(undefined, "h1")).toBe("/calico/felix/v2/no-region/host/h1/status");
  expect(hostStatusKey("", "h1")).toBe("/calico/felix/v2/no-region/host/h1/status");
  expect(lastReportedStatusKey(undefined, "h1")).toBe("/calico/felix/v2/no-region/host/h1/last_reported_status");
  expect(() => hostStatusKey("a/b", "h1")).toThrow('openstackRegion: "a/b" has a slash');
});

test("15: workloads are escaped, host endpoints have no region", () => {
  const id = { orchestrator: "cni", workload: "default/a-b", endpoint: "eth0" };
  const host = "/calico/felix/v2/no-region/host/h1";
  expect(workloadStatusKey(undefined, "h1", id)).toBe(`${host}/workload/cni/default%2fa-b/endpoint/eth0`);
  const odd = { orchestrator: "o%", workload: "n/w%2f", endpoint: "e/0" };
  expect(workloadStatusKey("eu", "h1", odd)).toBe(
    "/calico/felix/v2/region-eu/host/h1/workload/o%25/n%2fw%252f/endpoint/e%2f0",
  );
  expect(hostEndpointStatusKey("h1", "eth0-hep")).toBe("/calico/felix/v1/host/h1/endpoint/eth0-hep");
});
