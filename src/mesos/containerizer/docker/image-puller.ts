/**
 * Sees to it that an image is on the host: pulls when it is missing or the task insists. Tasks that want the same image
 * at the same time share one pull. Progress goes to the log, the outcome to the sandbox's stderr.
 */

import { type Clock, deadline } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../../../plugins/docker/engine/docker-engine.ts";
import { isEngineUnavailable } from "../../../plugins/docker/engine/engine-error.ts";
import type { Credential } from "../../../plugins/docker/engine/registry-auth.ts";
import { formatDuration } from "../../protocol/durations.ts";
import { type ContainerLaunch, LaunchFailed } from "../containerizer.ts";
import type { ContainerPlan } from "./container-plan.ts";
import type { Patience } from "./patience.ts";
import { credentialOf } from "./registry-login.ts";

const progressEveryMs = 5_000;
const pullAttemptsMax = 5;

export class ImagePuller {
  readonly #engine: DockerEngine;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #patience: Patience;
  readonly #dockerConfig: string | undefined;
  readonly #timeoutMs: number;
  readonly #pulling = new Map<string, Promise<void>>();

  constructor(options: {
    readonly engine: DockerEngine;
    readonly clock: Clock;
    readonly log: Log;
    readonly patience: Patience;
    readonly dockerConfig: string | undefined;
    readonly timeoutMs: number;
  }) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#patience = options.patience;
    this.#dockerConfig = options.dockerConfig;
    this.#timeoutMs = options.timeoutMs;
  }

  async ensure(plan: ContainerPlan, launch: ContainerLaunch, signal: AbortSignal): Promise<void> {
    if (!plan.forcePull && (await this.#present(plan.image, signal))) return;
    try {
      const credential = await credentialOf(plan.image, launch.sandboxDirectory, this.#dockerConfig);
      await this.#pullShared(plan.image, credential, launch.task.task_id.value, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw new LaunchFailed(
        `Failed to launch container: Failed to pull image '${plan.image}': ${describeError(cause)}`,
        {
          reason: "REASON_CONTAINER_LAUNCH_FAILED",
          cause,
        },
      );
    }
  }

  async #present(image: string, signal: AbortSignal): Promise<boolean> {
    const found = await this.#patience.ask(
      "image",
      (ask) => this.#engine.images.inspect(image, { signal: ask }),
      signal,
    );
    return found !== undefined;
  }

  /** A caller that gives up leaves the shared pull running: the next task will want the image too. It is bounded in time. */
  async #pullShared(image: string, credential: Credential, task: string, signal: AbortSignal): Promise<void> {
    // With different credentials a pull may have a different outcome: never shared.
    const key = `${image} ${credential.header()}`;
    let pull = this.#pulling.get(key);
    if (pull === undefined) {
      pull = this.#pull(image, credential, task).finally(() => this.#pulling.delete(key));
      this.#pulling.set(key, pull);
      pull.catch(() => undefined); // whoever waits for it sees the failure; nobody may be left
    }
    await untilAborted(pull, signal);
  }

  async #pull(image: string, credential: Credential, task: string): Promise<void> {
    const limited = deadline(this.#clock, this.#timeoutMs);
    this.#log.info({ event: "image-pull", image, task });
    let loggedAtMs = this.#clock.monotonicMs();
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#engine.images.pull(image, {
          credential,
          signal: limited,
          onProgress: (progress) => {
            if (this.#clock.monotonicMs() - loggedAtMs < progressEveryMs) return;
            loggedAtMs = this.#clock.monotonicMs();
            this.#log.info({ event: "image-pull-progress", image, ...progress });
          },
        });
        this.#log.info({ event: "image-pulled", image });
        return;
      } catch (cause) {
        if (limited.aborted) throw new Error(`not finished within ${formatDuration(this.#timeoutMs)}`, { cause });
        if (!isEngineUnavailable(cause) || attempt >= pullAttemptsMax) throw cause;
        await this.#clock.sleep(1_000 * attempt, limited);
      }
    }
  }
}

function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
