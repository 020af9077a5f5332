/**
 * How long short commands of calicoctl take, compiled as users have it: `version --client`, and `get nodes` on a store with
 * nodes in it, against etcdctl's `version` and `get` of the same keys on the same etcd, in turns. Goal: 30 ms each.
 */

import { join } from "node:path";
import { StoreProcess } from "../src/store/testing/store-process.ts";
import { BuiltProgram } from "./built-program.ts";
import { inTurns, judge, printMachine, printSpread, timedMs } from "./figures.ts";

const rounds = 41;
const goalMs = 30;
const nodes = 20;

printMachine();
using built = new BuiltProgram();
const { folder } = built;
await using etcd = await StoreProcess.startEtcd();
const calicoctl = (...words: readonly string[]) => [join(folder, "calicoctl"), `--store=${etcd.endpoint}`, ...words];
const documents = Array.from({ length: nodes }, (_, at) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind: "Node", metadata: { name: `n${at}` }, spec: {} }),
);
must(calicoctl("create", "-f", "-"), folder, documents.join("\n---\n"));
const peer = (...words: readonly string[]) => ["etcdctl", `--endpoints=${etcd.endpoint}`, ...words];
const prefix = "/calico/resources/v3/projectcalico.org/nodes/";
await compared("version", calicoctl("version", "--client"), "Client Version:", peer("version"), "etcdctl version");
await compared("get nodes", calicoctl("get", "nodes"), "n19", peer("get", "--prefix", prefix), "n19");

async function compared(
  what: string,
  ours: readonly string[],
  oursSays: string,
  theirs: readonly string[],
  theirsSays: string,
): Promise<void> {
  const timed = (words: readonly string[], says: string) => () =>
    timedMs(async () => {
      if (!must(words, folder).includes(says)) throw new Error(`${words.join(" ")} did not say ${says}`);
    });
  const { a, b } = await inTurns(rounds, timed(ours, oursSays), timed(theirs, theirsSays));
  const own = printSpread(`calicoctl ${what}`, a, "ms");
  const peers = printSpread(`etcdctl, the same`, b, "ms");
  judge(`calicoctl ${what}, median`, own.median, { goal: `<= ${goalMs} ms`, met: own.median <= goalMs });
  console.log(`calicoctl ${what} to etcdctl: ${(own.median / peers.median).toFixed(2)}x`);
}

/** What it said. */
function must(words: readonly string[], cwd: string, input = ""): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...words], {
    cwd,
    stdin: Buffer.from(input),
    env: { ...process.env, ETCDCTL_API: "3" },
  });
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
