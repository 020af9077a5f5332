/** node run: the command it shows, and what it refuses. */

import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../../base/clock.ts";
import { call } from "../testing/cluster.ts";
import { sessionsIn } from "./bird-status.ts";

const never = () => Promise.reject(new Error("must not be opened"));
const run = (words: string, env: Record<string, string> = {}) =>
  call(`node run ${words}`, { env }, new TestClock(), never);

test("--dryrun shows the container's command with everything that was said", async () => {
  const folder = mkdtempSync(join(tmpdir(), "calicoctl-run-"));
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, "");
  const env = {
    MARGAY_RUN_DIR: "",
    ETCD_ENDPOINTS: "https://10.0.0.1:2379",
    CALICO_ETCD_CA_CERT_FILE: ca,
    ETCD_USERNAME: "root",
    ETCD_PASSWORD: "hunter2",
  };
  const flags =
    "--node-image=calico/node:v3.32.1 --backend=bird --name=h1 --ip=172.16.0.1/24 --as=64513 --no-default-ippools --felix-config=/dev/null";
  const { code, stdout } = await run(`--dryrun ${flags}`, env);
  expect(code).toBe(0);
  expect(stdout).toBe(
    "Use the following command to start the calico/node container:\n\n" +
      "docker run --net=host --pid=host --cap-add=NET_ADMIN --cap-add=SYS_ADMIN --cap-add=SYS_PTRACE " +
      "--security-opt=systempaths=unconfined --security-opt=apparmor=unconfined --security-opt=label=disable " +
      "--name=calico-node -d --restart=always -e NODENAME=h1 -e CALICO_NETWORKING_BACKEND=bird " +
      "-e CALICO_MANAGE_CNI=false -e ETCD_ENDPOINTS=https://10.0.0.1:2379 " +
      "-e NO_DEFAULT_POOLS=true -e AS=64513 -e IP=172.16.0.1/24 -e ETCD_CA_CERT_FILE=/etc/calico/certs/ca_cert.crt " +
      "-e ETCD_USERNAME=root -e ETCD_PASSWORD " +
      "-v /var/log/calico:/var/log/calico -v /var/run/calico:/var/run/calico -v /var/lib/calico:/var/lib/calico " +
      `-v /var/lib/margay:/var/lib/margay ${existsSync("/lib/modules") ? "-v /lib/modules:/lib/modules:ro " : ""}` +
      "-v /run:/run -v /dev/null:/etc/calico/felix.cfg " +
      `-v ${ca}:/etc/calico/certs/ca_cert.crt:ro calico/node:v3.32.1\n\n` +
      "If you are running calico/node in an init system, use the --init-system flag\n" +
      "to display the appropriate start and stop commands.\n",
  );
  const init = await run(`--dryrun --init-system ${flags}`, env);
  expect(init.stdout).toContain("--name=calico-node --rm -e ");
  expect(init.stdout).toEndWith(
    "Use the following command to stop the calico/node container:\n\ndocker stop calico-node\n",
  );
});

test("the store of the container is that of --store, else that of the settings", async () => {
  const shown = async (words: string, env: Record<string, string> = {}) => {
    const { stdout } = await call(words, { env }, new TestClock(), never);
    return /-e ETCD_\S+/.exec(stdout)?.[0];
  };
  const line = "node run --dryrun --node-image=x";
  expect(await shown(`--store=http://a:1 ${line}`, { ETCD_ENDPOINTS: "http://b:2" })).toBe(
    "-e ETCD_ENDPOINTS=http://a:1",
  );
  expect(await shown(line)).toBe("-e ETCD_ENDPOINTS=http://127.0.0.1:2379");
  expect((await call("--store=http://a:1 node run --dryrun", {}, new TestClock(), never)).stdout).toContain(
    " --store=http://a:1\n",
  );
});

test("without an image it is Margay's own node", async () => {
  const flags = "--name=h1 --ip=172.16.0.1/24 --as=64513 --ip6-autodetection-method=first-found --no-default-ippools";
  const { stdout } = await run(`--dryrun ${flags}`, { ETCD_ENDPOINTS: "http://a:1" });
  expect(stdout).toContain(
    "\n\nAS=64513 IP6_AUTODETECTION_METHOD=first-found margay node --name=h1 --ip=172.16.0.1/24 --store=http://a:1 --no-default-pools\n\n",
  );
  expect((await run("--dryrun --name=h1")).stdout).toContain("\n\nmargay node --name=h1\n\n");
});

const refused: readonly [words: string, stdout: string, stderr: string][] = [
  ["--dryrun --ip=bad", "Error executing command: invalid IP address specified: bad\n", ""],
  ["--dryrun --ip=fd00::1", "Error executing command: invalid IP address specified: fd00::1\n", ""],
  ["--dryrun --ip6=10.0.0.1", "Error executing command: invalid IP address specified: 10.0.0.1\n", ""],
  ["--dryrun --ip=10.0.0.1/99", "Error executing command: invalid IP address specified: 10.0.0.1/99\n", ""],
  ["--dryrun --as=65536.0", "Error executing command: invalid AS Number specified: 65536.0\n", ""],
  ["--dryrun --backend=quagga", "Error executing command: unknown networking backend: quagga\n", ""],
  ["--dryrun --ip-autodetection-method=guess", "Error executing command: invalid IP autodetection method: guess\n", ""],
  ["--dryrun --felix-config=/nonexistent", "Error executing command: unable to find the file /nonexistent\n", ""],
  ["--dryrun --name=My_Host --ip=10.0.0.1", "", "--name: name must consist of"],
  ["--dryrun extra", "", "Usage:\n  calicoctl node run"],
  ["--bogus", "", "unknown flag: --bogus\n"],
];
for (const [words, stdout, stderr] of refused) {
  test(`refused: calicoctl node run ${words}`, async () => {
    const said = await run(words);
    expect(said).toMatchObject({ code: 1, stdout });
    expect(said.stderr).toStartWith(stderr);
  });
}

test("sessions in BIRD's account are those that Calico's configuration has made", () => {
  const answer = [
    "0001 BIRD 1.6.8 ready.",
    "2002-name     proto    table    state  since       info",
    "1002-static1  Static   master   up     2016-11-21  ",
    " kernel1  Kernel   master   up     2016-11-21  ",
    " Mesh_172_17_8_102 BGP      master   up     2016-11-21  Established   ",
    " Global_10_0_0_1 BGP      master   start  2016-11-21  Active        Socket: Connection refused",
    " Node_fd00__1 BGP      master   up     2016-11-21  Established   ",
    "0000 ",
  ].join("\n");
  expect(sessionsIn(answer)).toEqual([
    ["172.17.8.102", "node-to-node mesh", "up", "2016-11-21", "Established"],
    ["10.0.0.1", "global", "start", "2016-11-21", "Active Socket: Connection refused"],
    ["fd00::1", "node specific", "up", "2016-11-21", "Established"],
  ]);
  expect(sessionsIn("0001 BIRD ready.\n2002-name other\n0000 \n")).toBeUndefined();
});
