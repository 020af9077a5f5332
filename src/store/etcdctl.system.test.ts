/**
 * The real etcdctl gives the same answers on `margay store` as on etcd: each step runs on both, in the same order, and
 * exit code, output and error text are compared, apart from what is each server's own (ids, address, sizes).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { StoreProcess } from "./testing/store-process.ts";

let margay: StoreProcess;
let etcd: StoreProcess;
/** Lease ids of both, by the name the steps use. */
const leases = new Map<string, { margay: string; etcd: string }>();

beforeAll(async () => {
  [margay, etcd] = await Promise.all([StoreProcess.startMargay(), StoreProcess.startEtcd()]);
}, 30_000);
afterAll(async () => {
  await margay[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

interface Step {
  readonly words: string;
  readonly input?: string;
}

const bigText = "x".repeat(100_000);

/** In the order they run; revisions depend on it. `%name` is a lease granted before. */
const steps: readonly (string | Step)[] = [
  "get nothing",
  "put a 1",
  "put a 2 --prev-kv",
  "put b 1",
  "put c/1 x",
  "put c/2 y",
  "put c/3 z",
  "get a",
  "get a -w json",
  "get a -w fields",
  "get c/ --prefix",
  "get c/ --prefix --keys-only",
  "get c/ --prefix --print-value-only",
  "get c/ --prefix --limit=2 -w json",
  "get a c",
  "get b --from-key",
  "get c/ --prefix --order=DESCEND",
  "get c/ --prefix --sort-by=VALUE --order=DESCEND",
  "get c/ --prefix --sort-by=CREATE --order=ASCEND --limit=1 -w json",
  "get c/ --prefix --sort-by=MODIFY --order=DESCEND --limit=1 -w json",
  "get c/ --prefix --sort-by=VERSION --order=ASCEND -w json",
  "get a --rev=2",
  "get c/ --prefix --rev=5 -w json",
  "get a --rev=1000",
  "get a --consistency=s",
  { words: "put from-stdin", input: "line 1\nline 2\n" },
  "get from-stdin -w json",
  { words: "put big", input: bigText },
  "get big --print-value-only",
  "put a --ignore-value",
  "get a -w json",
  "put nothing --ignore-value",
  "put nothing x --ignore-lease",
  { words: "put", input: "x" },
  { words: "txn", input: 'mod("a") > "0"\nvalue("b") = "1"\n\nput d 1\nget a\ndel b\n\nput failed 1\n\n' },
  { words: "txn -w json", input: 'create("d") = "0"\n\nput failed 1\n\nget c/ --prefix\n\n' },
  { words: "txn", input: 'val("nothing") = ""\n\nput failed 1\n\nget a\n\n' },
  { words: "txn", input: 'ver("nothing") = "0"\nver("a") < "100"\n\nput e 1\nput f 1\n\n\n' },
  { words: "txn", input: 'lease("a") = "0"\nval("a") != "9"\n\nget a\n\n\n' },
  { words: "txn", input: "\nput twice 1\nput twice 2\n\n\n" },
  { words: "txn", input: "\nput both 1\ndel both\n\n\n" },
  { words: "txn", input: "\ndel c/ --prefix --prev-kv\nget c/ --prefix\n\n\n" },
  { words: "txn", input: `\n${Array.from({ length: 129 }, (_, index) => `put many${index} v`).join("\n")}\n\n\n` },
  "get '' --from-key --keys-only",
  "get failed",
  "del e --prev-kv",
  "del nothing",
  "del f g --prev-kv",
  "del a --rev=1",
  "lease grant 60",
  "lease grant 1",
  "put l/1 x --lease=%60",
  "put l/2 x --lease=%60",
  "lease timetolive %60 --keys",
  "lease keep-alive %60 --once",
  "get l/1 -w json",
  "put l/2 y",
  "lease timetolive %60 --keys",
  "lease revoke %60",
  "get l/ --prefix",
  "lease timetolive %60",
  "lease keep-alive %60 --once",
  "lease revoke %60",
  "put l/3 x --lease=1234",
  "compact 5",
  "get a --rev=4",
  "get a --rev=5",
  "compact 5",
  "compact 1000",
  "watch a --rev=2",
  "endpoint health",
  "alarm list",
  "alarm disarm",
  "defrag",
  "get '' --from-key -w json",
];

test("each step gives the same on both", async () => {
  for (const step of steps) {
    const { words, input } = typeof step === "string" ? { words: step, input: "" } : { input: "", ...step };
    const [ours, theirs] = await Promise.all([run(margay, "margay", words, input), run(etcd, "etcd", words, input)]);
    expect({ words, ...normal(ours) }).toEqual({ words, ...normal(theirs) });
    const granted = /^lease (\w+) granted with TTL\((\d+)s\)/.exec(ours.stdout);
    const theirsGranted = /^lease (\w+) granted/.exec(theirs.stdout);
    if (granted?.[1] !== undefined && granted[2] !== undefined && theirsGranted?.[1] !== undefined) {
      leases.set(granted[2], { margay: granted[1], etcd: theirsGranted[1] });
    }
  }
}, 60_000);

test("a watch shows the same events on both: prefix, previous values, transactions, deletions", async () => {
  const watched = async (server: StoreProcess) => {
    const child = Bun.spawn(
      ["etcdctl", `--endpoints=${server.endpoint}`, "watch", "w/", "--prefix", "--prev-kv", "--rev=6"],
      {
        env: { ...process.env, ETCDCTL_API: "3" },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "ignore",
      },
    );
    await server.etcdctl("put", "w/1", "a");
    await server.etcdctl("put", "w/1", "b");
    await server.etcdctlWithInput("\nput w/2 c\ndel w/1\n\n\n", "txn");
    await server.etcdctl("put", "beside", "x");
    await server.etcdctl("del", "w/2");
    await server.etcdctl("put", "w/end", "");
    const text = await readUntil(child.stdout, "w/end\n");
    child.kill();
    await child.exited;
    return text;
  };
  expect(await watched(margay)).toBe(await watched(etcd));
}, 30_000);

test("endpoint status and member list have etcd's shape", async () => {
  const status = async (server: StoreProcess) =>
    JSON.parse((await server.etcdctl("endpoint", "status", "-w", "json")).stdout) as {
      Status: Record<string, unknown>;
    }[];
  const [ours, theirs] = await Promise.all([status(margay), status(etcd)]);
  expect(Object.keys(ours[0]?.Status ?? {}).sort()).toEqual(Object.keys(theirs[0]?.Status ?? {}).sort());
  expect(ours[0]?.Status.version).toMatch(/^3\.4\./);
  const table = (await margay.etcdctl("endpoint", "status", "--cluster", "-w", "table")).stdout;
  expect(table).toContain(margay.endpoint);
  expect(table).toContain(" true ");
  const members = (await margay.etcdctl("member", "list")).stdout;
  expect(members).toMatch(/^[0-9a-f]+, started, margay, , http:\/\/127\.0\.0\.1:\d+, false\n$/);
});

test("what the embedded store does not offer is refused in a sentence", async () => {
  for (const [words, sentence] of [
    ["user list", "users and roles are not offered"],
    ["auth enable", "users and roles are not offered"],
    ["member add other --peer-urls=http://127.0.0.1:1", "it is a single member and cannot be extended"],
    ["snapshot save /dev/null/x", ""],
    ["endpoint hashkv", "there are no members to compare"],
  ] as const) {
    const { code, stderr } = await margay.etcdctl(...words.split(" "));
    expect({ words, failed: code !== 0 }).toEqual({ words, failed: true });
    expect(stderr).toContain(sentence);
  }
});

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(server: StoreProcess, name: "margay" | "etcd", words: string, input: string): Promise<Output> {
  const args = words.split(" ").map((word) => {
    if (word === "''") return "";
    return word.replace(/%(\d+)/, (_, lease: string) => leases.get(lease)?.[name] ?? "0");
  });
  return server.etcdctlWithInput(input, ...args);
}

function normal({ code, stdout, stderr }: Output) {
  return { code, stdout: withoutIdentity(stdout), error: withoutIdentity(errorOf(stderr)) };
}

/** The last line; before it etcdctl logs its retries. */
function errorOf(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.startsWith("Error") || line.includes("is healthy"));
  return lines.at(-1) ?? "";
}

function withoutIdentity(text: string): string {
  return (
    text
      .replaceAll(/lease \w+/g, "lease ID")
      .replaceAll(/"(cluster_id|member_id|raft_term)":\d+/g, '"$1":N')
      .replaceAll(/"(ClusterID|MemberID|RaftTerm)" : \d+/g, '"$1" : N')
      .replaceAll(/"lease":\d+/g, '"lease":N')
      .replaceAll(/127\.0\.0\.1:\d+/g, "ADDRESS")
      .replaceAll(/took = \S+/g, "took = T")
      .replaceAll(/remaining\(\d+s\)/g, "remaining(N)")
      // etcd lists them in no order.
      .replaceAll(/attached keys\(\[(.*)\]\)/g, (_, keys: string) => `keys ${keys.split(" ").toSorted().join(" ")}`)
  );
}

async function readUntil(stream: ReadableStream<Uint8Array>, end: string): Promise<string> {
  const reader = stream.getReader();
  const timeout = AbortSignal.timeout(10_000);
  timeout.addEventListener("abort", () => void reader.cancel().catch(() => undefined), { once: true });
  let text = "";
  while (!text.includes(end)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the watch showed only: ${text}`);
    text += Buffer.from(value).toString("utf8");
  }
  return text;
}
