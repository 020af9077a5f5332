/** Questions to other hosts through the store: answered, refused or given up, they leave nothing behind. */
import { expect, test } from "bun:test";
import { systemClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import { answerRequests, askHost } from "./explain-channel.ts";
import type { KernelAnswer, KernelQuestion } from "./kernel-answer.ts";

const question: KernelQuestion = {
  packet: { source: "10.0.0.1", destination: "10.0.0.2", protocol: 6, sourcePort: 1, destinationPort: 80 },
  from: "elsewhere",
  to: { interfaceName: "cali1" },
};
const answer = (host: string): KernelAnswer => ({
  host,
  verdict: "allow",
  reason: "nothing drops it",
  hooks: [],
  faults: [],
});
const clock = systemClock;

interface Asked {
  readonly said: unknown;
  readonly left: number;
}

/** One node named h1 that answers so, and one question to the host. */
async function ask(host: string, node: (question: KernelQuestion) => KernelAnswer, asked = question): Promise<Asked> {
  await using store = await openSqliteStore({ path: ":memory:", clock });
  const stop = new AbortController();
  const serving = answerRequests({ store, clock, log: silentLog, host: "h1", answer: node }, stop.signal);
  const signal = new AbortController().signal;
  const timeoutMs = host === "h1" ? 5_000 : 50;
  const said = await askHost({ store, clock }, host, asked, { timeoutMs, signal }).catch((error: unknown) => error);
  stop.abort();
  await serving;
  const { kvs } = await store.list("/margay/");
  return { said, left: kvs.length };
}

test("the node that is asked answers, with the question as it was put", async () => {
  const seen: KernelQuestion[] = [];
  const { said, left } = await ask("h1", (given) => {
    seen.push(given);
    return answer("h1");
  });
  expect([said, seen, left]).toEqual([answer("h1"), [question], 0]);
});

test("a host without a node is given up by its name", async () => {
  const { said, left } = await ask("h2", () => answer("h1"));
  expect(said).toBeInstanceOf(OperationError);
  expect([(said as OperationError).code, (said as OperationError).message, left]).toEqual([
    "EXPLAIN_NO_ANSWER",
    "the node of h2 has not answered within 0.05 s",
    0,
  ]);
});

test("a node that cannot look says why", async () => {
  const { said, left } = await ask("h1", () => {
    throw new OperationError("NFT_MISSING", "cannot load libnftables.so.1");
  });
  expect([(said as OperationError).message, left]).toEqual(["the node of h1 says: cannot load libnftables.so.1", 0]);
});

test("what is no question is refused before anything is looked at", async () => {
  const { said } = await ask("h1", () => answer("h1"), { ...question, from: { interfaceName: "a/b; drop" } });
  expect((said as OperationError).message).toContain("the node of h1 says: question.from");
});

test("a question that nobody's lease holds is left alone", async () => {
  await using store = await openSqliteStore({ path: ":memory:", clock });
  const stop = new AbortController();
  let answered = 0;
  const node = () => {
    answered++;
    return answer("h1");
  };
  await store.put("/margay/explain/requests/h1/forgotten", JSON.stringify(question));
  const serving = answerRequests({ store, clock, log: silentLog, host: "h1", answer: node }, stop.signal);
  const signal = new AbortController().signal;
  await askHost({ store, clock }, "h1", question, { timeoutMs: 5_000, signal });
  stop.abort();
  await serving;
  expect(answered).toBe(1);
});
