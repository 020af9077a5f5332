/** The environment of commands on a host. */

import { expect, test } from "bun:test";
import { execEnvironment } from "./lab-exec.ts";

const target = { pid: 1, lab: "lab", storeEndpoint: "http://172.31.0.11:2379" };

test("a command finds the old stack's commands first and the store without options", () => {
  const env = execEnvironment(target, { PATH: "/home/me/bin", TERM: "xterm", ETCD_AUTHORITY: "127.0.0.1:2379" });
  expect(env.PATH).toStartWith("/run/margay-lab/bin:");
  expect(env).toMatchObject({
    TERM: "xterm",
    ETCD_AUTHORITY: "127.0.0.1:2379",
    ETCDCTL_API: "3",
    ETCDCTL_ENDPOINTS: "http://172.31.0.11:2379",
    HOME: "/root",
  });
});

test("what leads out of the lab or to another Docker is left behind", () => {
  const outward = { https_proxy: "p", HTTP_PROXY: "p", no_proxy: "p", DOCKER_HOST: "d", DOCKER_CONTEXT: "d" };
  const env = execEnvironment(target, { ...outward, MARGAY_LAB_HOLDER: "lab/host1" });
  expect(Object.keys(env).sort()).toEqual(["ETCDCTL_API", "ETCDCTL_ENDPOINTS", "HOME", "LANG", "MARGAY_LAB", "PATH"]);
});

test("etcdctl's own setting of the caller stays", () => {
  expect(execEnvironment(target, { ETCDCTL_ENDPOINTS: "http://other:1" }).ETCDCTL_ENDPOINTS).toBe("http://other:1");
});
