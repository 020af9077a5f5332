/**
 * Which endpoint to talk to: holds one channel for everybody and makes a new one, to the next endpoint that answers,
 * when it is lost. One dialling at a time, whoever asks.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { EtcdError, unavailable } from "./etcd-error.ts";
import { Auth } from "./etcd-protocol/etcd-api.ts";
import { GrpcChannel, type TlsSettings } from "./etcd-protocol/grpc-channel.ts";
import { discoverEndpoints } from "./srv-discovery.ts";

const connectTimeoutMs = 2_000;

export interface EtcdConnectionOptions {
  readonly endpoints: readonly string[];
  /** A domain whose SRV records name the endpoints, asked anew for each connection. */
  readonly discovery?: string | undefined;
  readonly clock: Clock;
  readonly log: Pick<Log, "debug" | "warn">;
  /** Of https endpoints. */
  readonly tls?: TlsSettings | undefined;
  /** Who this is, where etcd's users are switched on. */
  readonly user?: { readonly name: string; readonly password: string } | undefined;
}

export class EtcdConnection {
  readonly #options: EtcdConnectionOptions;
  #channel: GrpcChannel | undefined;
  #dialling: Promise<GrpcChannel> | undefined;
  /** Index of the endpoint to try first. */
  #next = 0;
  #closed = false;

  constructor(options: EtcdConnectionOptions) {
    if (options.endpoints.length === 0 && options.discovery === undefined)
      throw unavailable("no etcd endpoints specified");
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The living channel, or a new one; tries each endpoint once. The dialling itself goes on for others who wait. */
  channel(timeoutMs: number, signal: AbortSignal | undefined): Promise<GrpcChannel> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#channel !== undefined && !this.#channel.closed) return Promise.resolve(this.#channel);
    this.#dialling ??= this.#dial().finally(() => {
      this.#dialling = undefined;
    });
    return this.#within(this.#dialling, timeoutMs, signal);
  }

  close(): void {
    this.#closed = true;
    this.#channel?.close();
  }

  #within(dialling: Promise<GrpcChannel>, timeoutMs: number, signal: AbortSignal | undefined): Promise<GrpcChannel> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal?.reason);
      const timer = this.#options.clock.timer(timeoutMs, () =>
        reject(unavailable(`the store cannot be reached within ${Math.round(timeoutMs)} ms`)),
      );
      if (signal?.aborted) onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      const finish = () => {
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", onAbort);
      };
      dialling.then(resolve, reject).then(finish, finish);
    });
  }

  async #dial(): Promise<GrpcChannel> {
    const { clock, log, tls, discovery } = this.#options;
    const endpoints =
      discovery === undefined
        ? this.#options.endpoints
        : await discoverEndpoints(discovery, { needsTls: tls !== undefined });
    const failures: string[] = [];
    for (let attempt = 0; attempt < endpoints.length; attempt++) {
      const index = (this.#next + attempt) % endpoints.length;
      const endpoint = endpoints[index];
      if (endpoint === undefined) continue;
      try {
        const channel = await GrpcChannel.open(endpoint, clock, connectTimeoutMs, tls);
        await this.#authenticate(channel);
        if (this.#closed) {
          channel.close();
          throw closedError();
        }
        this.#channel = channel;
        this.#next = index;
        // A server that accepts but does not answer must not be asked again first.
        channel.onClosed(() => {
          this.#next = (index + 1) % endpoints.length;
          if (!this.#closed) log.debug({ event: "store-connection-lost", endpoint });
        });
        log.debug({ event: "store-connected", endpoint });
        return channel;
      } catch (error) {
        if (this.#closed) throw closedError();
        // The members of a cluster have the same users: another one would say the same.
        if (error instanceof EtcdError && error.code === "STORE_UNAUTHORIZED") throw error;
        failures.push(describeError(error));
      }
    }
    throw unavailable(`the store cannot be reached: ${failures.join("; ")}`);
  }

  /** The token that the server answers goes with every call of the channel. */
  async #authenticate(channel: GrpcChannel): Promise<void> {
    const { user } = this.#options;
    if (user === undefined) return;
    try {
      const options = { timeoutMs: connectTimeoutMs, signal: undefined };
      const { token } = await channel.unary(Auth.authenticate, user, options);
      channel.presentToken(token);
    } catch (error) {
      // A store without users lets everybody in.
      if (error instanceof EtcdError && error.message.includes("authentication is not enabled")) return;
      channel.close();
      if (!(error instanceof EtcdError) || error.code === "STORE_UNAVAILABLE") throw error;
      throw new EtcdError(error.status, `user ${user.name} is refused: ${error.message}`, "STORE_UNAUTHORIZED", {
        retry: "after-change",
      });
    }
  }
}

export function closedError(): EtcdError {
  return new EtcdError(unavailable("").status, "this store was closed", "STORE_CLOSED", { retry: "never" });
}
