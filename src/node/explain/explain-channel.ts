/**
 * How `margay explain` asks the nodes of other hosts: through the store, the one thing that all of them trust.
 * - A question lies under /margay/explain/requests/HOST/ID, its answer under /margay/explain/answers/ID, both on the
 *   asker's lease: whatever dies, nothing is left behind.
 * - Who may write the store may change every policy; being told what the kernel does with a packet is less than that.
 * - A question without a lease, or one that is no question, is not answered with more than the reason.
 */
import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { deadline } from "../../base/clock.ts";
import { BadInput, describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { orAborted } from "../../base/or-aborted.ts";
import { parseJson } from "../../model/json.ts";
import { check } from "../../model/resource.ts";
import type { KeyValue, Store } from "../../store/store.ts";
import { WatchedPrefix } from "../../store/watched-prefix.ts";
import { KernelAnswer, KernelQuestion } from "./kernel-answer.ts";

const requestsPrefix = "/margay/explain/requests/";
const answersPrefix = "/margay/explain/answers/";
const leaseSeconds = 30;
/** More at once are left unanswered: a person asks one after the other. */
const waitingMax = 64;
const questionBytesMax = 16 * 1024;

const Reply = z.union([z.strictObject({ answer: KernelAnswer }), z.strictObject({ error: z.string() })]);

export interface ChannelOptions {
  readonly store: Store;
  readonly clock: Clock;
}

/** @throws OperationError EXPLAIN_NO_ANSWER when the host's node does not answer in time. */
export async function askHost(
  { store, clock }: ChannelOptions,
  host: string,
  question: KernelQuestion,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<KernelAnswer> {
  const id = clock.uuid();
  const lease = await store.grantLease(leaseSeconds);
  try {
    const request = `${requestsPrefix}${host}/${id}`;
    const signal = deadline(clock, options.timeoutMs, options.signal);
    const revision = await store.put(request, JSON.stringify(question), { lease, signal });
    const key = `${answersPrefix}${id}`;
    for await (const { events } of store.watch(key, { fromRevision: revision, signal }))
      for (const { type, kv } of events) {
        if (type !== "put" || kv.key !== key) continue;
        const reply = check(Reply, parseJson(kv.value, key), key);
        if ("answer" in reply) return reply.answer;
        throw new OperationError("EXPLAIN_REFUSED", `the node of ${host} says: ${reply.error}`);
      }
    options.signal.throwIfAborted();
    const waited = `${options.timeoutMs / 1_000} s`;
    throw new OperationError("EXPLAIN_NO_ANSWER", `the node of ${host} has not answered within ${waited}`, {
      remedy: `see whether margay node runs on ${host} and reaches the datastore`,
    });
  } finally {
    await store.revokeLease(lease);
  }
}

export interface AnswerRequestsOptions extends ChannelOptions {
  readonly host: string;
  readonly log: Log;
  readonly answer: (question: KernelQuestion) => KernelAnswer;
}

/** Answers what is asked of this host, one after the other, until the signal aborts. */
export async function answerRequests(options: AnswerRequestsOptions, signal: AbortSignal): Promise<void> {
  const { store, clock, log, host } = options;
  const waiting = new Map<string, KeyValue>();
  let wake = Promise.withResolvers<void>();
  const watched = new WatchedPrefix({
    store,
    prefix: `${requestsPrefix}${host}/`,
    clock,
    log,
    onChange: (key, request) => {
      waiting.delete(key);
      if (request === undefined || request.leaseId === "0" || waiting.size >= waitingMax) return;
      waiting.set(key, request);
      wake.resolve();
    },
    onInSync: () => {},
  });
  const serve = async () => {
    while (!signal.aborted) {
      const [next] = waiting;
      if (next === undefined) {
        await orAborted(wake.promise, signal).catch(() => undefined); // the loop ends then
        wake = Promise.withResolvers();
        continue;
      }
      waiting.delete(next[0]);
      try {
        await reply(options, next[1], signal);
      } catch (error) {
        // The asker may have gone, or the store: then nobody waits for it any more.
        if (!signal.aborted) log.debug({ event: "explain_unanswered", key: next[0], error: describeError(error) });
      }
    }
  };
  await Promise.all([watched.run(signal), serve()]);
}

async function reply({ store, answer }: AnswerRequestsOptions, request: KeyValue, signal: AbortSignal): Promise<void> {
  const { key, value, modRevision, leaseId } = request;
  const put = `${answersPrefix}${key.slice(key.lastIndexOf("/") + 1)}`;
  const text = JSON.stringify(replyTo(value, answer));
  const success = [{ put, value: text, lease: leaseId }];
  await store.transact({ compare: [{ key, modRevision }], success }, { signal });
}

function replyTo(value: string, answer: (question: KernelQuestion) => KernelAnswer): z.input<typeof Reply> {
  try {
    if (value.length > questionBytesMax) throw new BadInput("question", "it is too long", `${questionBytesMax} bytes`);
    return { answer: answer(check(KernelQuestion, parseJson(value, "question"), "question")) };
  } catch (error) {
    return { error: describeError(error) };
  }
}
