/** One health probe over the network: HTTP(S) GET or TCP connect (reference: marathon-behaviour 7.1). */

import { connect } from "node:net";
import { describeError } from "../../base/errors.ts";
import type { Outcome } from "./health-results.ts";

export type ProbeTarget =
  | { readonly kind: "http"; readonly url: string; readonly ignoreHttp1xx: boolean }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Undefined: an answer that is neither success nor failure. The signal is the deadline. */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<Outcome | undefined>;

export const probe: Probe = async (target, signal) => {
  try {
    if (target.kind === "tcp") {
      await connectTcp(target.host, target.port, signal);
      return { healthy: true };
    }
    return judge(await getStatus(target.url, signal), target.ignoreHttp1xx);
  } catch (error) {
    return { healthy: false, cause: describeError(error) };
  }
};

/** Redirects count as success and are not followed; certificates are not verified, as ever. */
export async function getStatus(url: string, signal: AbortSignal): Promise<number> {
  const response = await fetch(url, {
    signal,
    redirect: "manual",
    headers: { "User-Agent": "marathon-healthcheck", Connection: "close" },
    tls: { rejectUnauthorized: false },
  });
  await response.body?.cancel();
  return response.status;
}

function judge(status: number, ignoreHttp1xx: boolean): Outcome | undefined {
  if (status >= 200 && status < 400) return { healthy: true };
  if (status < 200 && ignoreHttp1xx) return undefined;
  return { healthy: false, cause: `unexpected status ${status}` };
}

function connectTcp(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve();
    });
    socket.once("error", (error) => {
      signal.removeEventListener("abort", onAbort);
      reject(error);
    });
  });
}
