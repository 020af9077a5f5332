/** A real etcd behind TLS with client certificates, and with its users switched on: who gets in, and what others are told. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { connectEtcd, type EtcdClientOptions } from "./etcd-client.ts";
import type { Store } from "./store.ts";
import { type CertificateFiles, pemTexts, StoreProcess } from "./testing/store-process.ts";

const directory = mkdtempSync(join(tmpdir(), "margay-tls-"));
const file = (name: string) => join(directory, name);
let etcd: StoreProcess;
let files: CertificateFiles;

beforeAll(async () => {
  files = makeCertificates("good");
  etcd = await StoreProcess.startEtcd(files);
  for (const words of [
    "user add root:top",
    "user grant-role root root",
    "role add reader",
    "role grant-permission reader read /a --prefix",
    "user add limited:low",
    "user grant-role limited reader",
  ]) {
    const said = await etcd.etcdctl(...words.split(" "));
    expect([words, said.code]).toEqual([words, 0]);
  }
}, 60_000);
afterAll(async () => {
  await etcd?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function openssl(...words: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...words], { cwd: directory });
  if (exitCode !== 0) throw new Error(`openssl ${words.join(" ")}: ${stderr}`);
}

/** An authority of its own and a certificate of 127.0.0.1. */
function makeCertificates(name: string): CertificateFiles {
  const [ca, caKey, key, request, cert, extensions] = ["ca", "ca-key", "key", "csr", "cert", "ext"].map(
    (part) => `${name}-${part}`,
  );
  writeFileSync(file(extensions ?? ""), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...curve, "-keyout", caKey ?? "", "-out", ca ?? "", "-subj", `/CN=${name}`, "-days", "2");
  openssl("req", ...curve, "-keyout", key ?? "", "-out", request ?? "", "-subj", "/CN=client");
  openssl(
    "x509",
    "-req",
    "-in",
    request ?? "",
    "-CA",
    ca ?? "",
    "-CAkey",
    caKey ?? "",
    "-CAcreateserial",
    "-out",
    cert ?? "",
    "-days",
    "2",
    "-extfile",
    extensions ?? "",
  );
  return { ca: file(ca ?? ""), cert: file(cert ?? ""), key: file(key ?? "") };
}

function connected(options: Partial<EtcdClientOptions>): Promise<Store> {
  return connectEtcd({
    endpoints: [etcd.endpoint],
    clock: systemClock,
    log: silentLog,
    callTimeoutMs: 4_000,
    ...options,
  });
}

async function refusal(
  options: Partial<EtcdClientOptions>,
  work = (store: Store): Promise<unknown> => store.get("/a"),
) {
  await using store = await connected(options);
  return await work(store).then(
    () => "was let in",
    (error: unknown) => `${(error as { code?: string }).code}: ${describeError(error)}`,
  );
}

test("with a certificate of its authority one reads, writes and watches", async () => {
  await using store = await connected({ tls: pemTexts(files) });
  const stop = new AbortController();
  const seen = (async () => {
    for await (const { events } of store.watch("/a", { fromRevision: 1, signal: stop.signal })) {
      if (events.length > 0) return events[0]?.kv.value;
    }
    return undefined;
  })();
  await store.put("/a", "1");
  expect((await store.get("/a"))?.value).toBe("1");
  expect(await seen).toBe("1");
  stop.abort();
});

test("without one, or with one of somebody else's authority, one does not, and is told why", async () => {
  const { ca } = pemTexts(files);
  const other = pemTexts(makeCertificates("other"));
  expect(await refusal({ tls: { ca } })).toStartWith("STORE_UNAVAILABLE: ");
  expect(await refusal({ tls: { ...other, ca } })).toStartWith("STORE_UNAVAILABLE: ");
  expect(await refusal({ tls: other })).toMatch(
    /^STORE_UNAVAILABLE: the store cannot be reached: cannot connect to https:.*certificate/i,
  );
}, 30_000);

test("users: each may what its roles allow; a wrong password and nobody are refused at once", async () => {
  const tls = pemTexts(files);
  {
    await using before = await connected({ tls, user: { name: "root", password: "any" } });
    expect(await before.get("/a")).toBeDefined(); // users are off: everybody is let in
  }
  expect((await etcd.etcdctl("auth", "enable")).code).toBe(0);
  await using root = await connected({ tls, user: { name: "root", password: "top" } });
  await root.put("/a", "2");
  await using limited = await connected({ tls, user: { name: "limited", password: "low" } });
  expect((await limited.get("/a"))?.value).toBe("2");
  const low = { tls, user: { name: "limited", password: "low" } };
  expect(await refusal(low, (store) => store.put("/a", "3"))).toMatch(/^STORE_UNAUTHORIZED: .*permission denied/);
  const startedMs = performance.now();
  expect(await refusal({ tls, user: { name: "root", password: "wrong" } })).toMatch(
    /^STORE_UNAUTHORIZED: user root is refused: .*authentication failed, invalid user ID or password/,
  );
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  expect((await root.get("/a"))?.value).toBe("2");
}, 30_000);

test("a token that the server has forgotten is renewed without anybody noticing, for writes too", async () => {
  await using root = await connected({
    tls: pemTexts(files),
    user: { name: "root", password: "top" },
    callTimeoutMs: 20_000,
  });
  await root.put("/a", "3");
  // Simple tokens live in the server's memory.
  await etcd.kill();
  await etcd.start();
  const [revision] = await Promise.all([root.get("/a").then((kv) => kv?.value), root.get("/b")]);
  expect(revision).toBe("3");
  // Changing a user's password ends its tokens while the connection stays.
  const changed = await etcd.etcdctlWithInput(
    "top\ntop\n",
    "--user=root:top",
    "user",
    "passwd",
    "root",
    "--interactive=false",
  );
  expect(changed.code).toBe(0);
  await root.put("/a", "4");
  expect((await root.get("/a"))?.value).toBe("4");
}, 60_000);
