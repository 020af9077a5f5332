/**
 * `checksystem` of the classic releases and `node checksystem` of today where something is missing for real: no Docker, no
 * store, a kernel that gives no network namespace, no library of the packet filter; in namespaces of their own (calicoctl.md 5.1).
 */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "calicoctl-check-"));
afterAll(() => rmSync(folder, { recursive: true }));

const program = `"${process.execPath}" "${join(import.meta.dir, "../../main.ts")}"`;
const withStore = [
  `${program} store --data-dir="${folder}" 2>/dev/null &`,
  "until curl -sf http://127.0.0.1:2379/health >/dev/null; do sleep 0.05; done",
].join("\n");

/** A shell script where nothing of the machine's network and /run is; its programs end with it. */
async function run(script: string) {
  const text = `set -e\nip link set lo up\nmount -t tmpfs none /run\ncalicoctl() { ${program} calicoctl "$@"; }\n${script}`;
  const words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", text];
  const child = Bun.spawn(words, {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}

const line = (name: string, result: string) => `\t\t${name.padEnd(20)}\t\t\t\t\t${result}\n`;
const filter = ["nf_tables_inet", "nf_tables_set", "nft_ct", "nft_meta", "nft_masq"];
const heading = `Checking kernel version...\n${line(release(), "OK")}Checking kernel modules...\n`;
const notMet = "system doesn't meet one or more minimum systems requirements to run Calico\n";
/** Inside of it no namespace of a network can be made any more. */
const noNamespaces = (command: string) =>
  `unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; exec ${program} calicoctl ${command}'`;
/** For the namespaces of the caller. */
const noLibrary = [
  "for library in $(ls /lib/*/libnftables.so.1 /usr/lib/*/libnftables.so.1 2>/dev/null); do",
  '  mount --bind /dev/null "$(readlink -f "$library")"',
  "done",
].join("\n");

test("today's needs neither Docker nor a store", async () => {
  const checks = ["netns", "veth", ...filter, "ipv6"].map((name) => line(name, "OK")).join("");
  expect(await run("calicoctl node checksystem")).toEqual({
    code: 0,
    stdout: `${heading}${checks}System meets minimum system requirements to run Calico!\n`,
    stderr: "",
  });
}, 60_000);

test("the classic one names a Docker that is missing, and does not look for it when told so", async () => {
  expect(await run(`${withStore}\ncalicoctl checksystem`)).toEqual({
    code: 1,
    stdout: "",
    stderr: "ERROR: Docker daemon not running.\n",
  });
  const libnetwork = await run(`${withStore}\ncalicoctl checksystem --libnetwork --fix`);
  expect(libnetwork).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "WARNING: Deprecated flag --fix: checksystem no longer fixes detected issues\nERROR: Docker daemon not running.\n",
  });
  const without = await run(`${withStore}\ncalicoctl checksystem --runtime=none`);
  expect(without).toEqual({ code: 0, stdout: "", stderr: "" });
}, 60_000);

test("the classic one says everything that is missing at once: Docker, and each place of the store", async () => {
  const said = await run("calicoctl checksystem");
  expect([said.code, said.stdout]).toEqual([1, ""]);
  expect(said.stderr).toMatch(
    /^ERROR: Docker daemon not running\.\nERROR: Could not connect to etcd at 127\.0\.0\.1:2379: .*\nERROR: Could not connect to etcd at 127\.0\.0\.1:4001: .*\n$/,
  );
}, 60_000);

test("a kernel that gives no network namespace fails today's check, and the others go on", async () => {
  const said = await run(noNamespaces("node checksystem"));
  expect(said).toMatchObject({ code: 1, stderr: notMet });
  expect(said.stdout).toStartWith(
    `${heading}WARNING: Unable to detect the netns module as Loaded/Builtin module or lsmod: unshare --net fails\n${line("netns", "FAIL")}`,
  );
  expect(said.stdout).not.toContain("System meets");
}, 60_000);

test("a packet filter that cannot be used fails both", async () => {
  const modern = await run(`${noLibrary}\ncalicoctl node checksystem`);
  expect(modern).toMatchObject({ code: 1, stderr: notMet });
  expect(modern.stdout).toMatch(
    /\nWARNING: Unable to detect the nf_tables module as Loaded\/Builtin module or lsmod: cannot load libnftables\.so\.1: .*\n/,
  );
  expect(modern.stdout).toContain(line("nf_tables", "FAIL"));
  const classic = await run(`${withStore}\n${noLibrary}\ncalicoctl checksystem --runtime=none`);
  expect(classic).toMatchObject({ code: 1, stdout: "" });
  expect(classic.stderr).toMatch(
    /^WARNING: Unable to detect what the packet filter needs: cannot load libnftables\.so\.1: .*\n$/,
  );
}, 60_000);
