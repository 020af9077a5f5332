/** Asks the kernels of the hosts involved: this host's through its node's socket, the others' through the store. */
import { hostname } from "node:os";
import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { deadline } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import { check } from "../../model/resource.ts";
import { askHost } from "../../node/explain/explain-channel.ts";
import { hostViewOf } from "../../node/explain/host-view.ts";
import { KernelAnswer, type KernelQuestion } from "../../node/explain/kernel-answer.ts";
import { askLocalKernel } from "../../node/explain/local-kernel.ts";
import type { HostPart } from "../../policy/explain/flow.ts";
import type { HostView } from "../../policy/explain/host-endpoint.ts";
import type { Store } from "../../store/store.ts";

export interface KernelReport {
  readonly host: string;
  /** What the resources say this host should do. */
  readonly expected: "allow" | "deny";
  readonly asked: "its node" | "its node, through the store" | "directly";
  readonly answer?: KernelAnswer;
  /** Why there is no answer. */
  readonly error?: string;
}

export interface KernelAsker {
  readonly store: Store;
  readonly clock: Clock;
  readonly socketPath: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const Status = z.looseObject({ node: z.looseObject({ name: z.string() }) });

export async function askKernels(asker: KernelAsker, parts: readonly HostPart[]): Promise<readonly KernelReport[]> {
  const local = await localNode(asker);
  return await Promise.all(parts.map((part) => askOne(asker, local, part)));
}

/** Of the hosts that answered, what they know of their interfaces. */
export function hostViews(reports: readonly KernelReport[]): ReadonlyMap<string, HostView> {
  return new Map(
    reports.flatMap(({ host, answer }) => {
      const view = answer && hostViewOf(answer);
      return view === undefined ? [] : [[host, view] as const];
    }),
  );
}

async function askOne(asker: KernelAsker, local: string | undefined, part: HostPart): Promise<KernelReport> {
  const { host, packet, from, to } = part;
  const question: KernelQuestion = { packet, from, to };
  // With its node gone or hung the kernel goes on enforcing; root on that host can look for itself.
  const directly = local === undefined && host === hostname() && process.getuid?.() === 0;
  const asked = local === host ? "its node" : directly ? "directly" : "its node, through the store";
  const base = { host, expected: part.verdict, asked } as const;
  try {
    if (asked === "its node") return { ...base, answer: await askSocket(asker, question) };
    if (asked === "directly") return { ...base, answer: askLocalKernel(host, question) };
    return { ...base, answer: await askHost(asker, host, question, asker) };
  } catch (error) {
    asker.signal.throwIfAborted();
    return { ...base, error: describeError(error) };
  }
}

/** The name of this host, if its node answers. */
async function localNode({ socketPath, timeoutMs, clock, signal }: KernelAsker): Promise<string | undefined> {
  try {
    const response = await fetch("http://node/v1/status", {
      unix: socketPath,
      signal: deadline(clock, timeoutMs, signal),
    });
    return check(Status, await response.json()).node.name;
  } catch {
    signal.throwIfAborted();
    return undefined; // not running, hung, or not ours to ask: then others are asked, and the report says how
  }
}

async function askSocket(asker: KernelAsker, question: KernelQuestion): Promise<KernelAnswer> {
  const response = await fetch("http://node/v1/explain", {
    unix: asker.socketPath,
    method: "POST",
    body: JSON.stringify(question),
    signal: deadline(asker.clock, asker.timeoutMs, asker.signal),
  });
  const body: unknown = await response.json();
  if (response.ok) return check(KernelAnswer, body, "answer");
  throw new OperationError("EXPLAIN_REFUSED", `the node answers ${response.status}: ${JSON.stringify(body)}`);
}
