/**
 * A file for each endpoint of this host that is up, for plug-ins that wait until a container may talk (felix-dataplane.md
 * 1.6): it is there only while the endpoint's interface is up and its policy in force. The directory is ours: what a former
 * process left in it and is true no more goes.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import { Tracker } from "../../base/tracker.ts";
import type { EndpointStatusOptions } from "./endpoint-status-keys.ts";
import type { LocalWorkload } from "./local-endpoints.ts";

export interface StatusFilesOptions
  extends Pick<EndpointStatusOptions, "endpoints" | "stateOf" | "settings" | "ready"> {
  readonly clock: Clock;
  readonly log: Log;
}

/** As Felix: written anew what somebody else has touched. */
const resyncEveryMs = 10_000;
/** After a change of the kernel; at most so often, because changes come in swarms. */
const afterChangeMs = 50;
/** Links come up without our doing: the containers' ends are others'. */
const whileSomeAreDownMs = 500;
const nameBytesMax = 255;

export class EndpointStatusFiles implements Disposable {
  readonly #options: StatusFilesOptions;
  readonly #reconciler: Reconciler;
  #tracker = new Tracker<string, string>();
  #directory: string | undefined;
  #timer: Disposable | undefined;
  #readBackMs = 0;

  constructor(options: StatusFilesOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#reconciler = new Reconciler({
      name: "endpoint-status-files",
      clock,
      log,
      pass: () => this.#pass(),
      resyncEveryMs,
    });
  }

  /** The kernel was brought to what is wanted: something may be up that was not. */
  changed(): void {
    this.#soon(afterChangeMs);
  }

  get lastError(): unknown {
    return this.#reconciler.lastError;
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#reconciler.run(signal);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #soon(ms: number): void {
    this.#timer ??= this.#options.clock.timer(ms, () => {
      this.#timer = undefined;
      this.#reconciler.poke();
    });
  }

  async #pass(): Promise<void> {
    const { settings, ready } = this.#options;
    const directory = settings().endpointStatusDirectory;
    if (directory !== this.#directory) {
      await this.#leave();
      this.#directory = directory;
    }
    if (directory === undefined || !ready()) return;
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs >= this.#readBackMs) {
      await this.#readBack(directory);
      this.#readBackMs = nowMs + resyncEveryMs;
    }
    this.#want();
    for (const [name, text] of [...this.#tracker.pendingPuts]) {
      const path = join(directory, name);
      await writeFile(`${path}${unfinished}`, text);
      await chmod(`${path}${unfinished}`, 0o644);
      await rename(`${path}${unfinished}`, path);
      this.#tracker.applied(name, text);
    }
    for (const name of [...this.#tracker.pendingRemovals]) {
      await rm(join(directory, name), { force: true, recursive: true });
      this.#tracker.applied(name, undefined);
    }
  }

  /** Another directory is used from now on: what we wrote here says nothing any more. */
  async #leave(): Promise<void> {
    const left = this.#directory;
    for (const name of left === undefined ? [] : this.#tracker.allActual.keys()) {
      await rm(join(left ?? "", name), { force: true });
    }
    this.#tracker = new Tracker();
    this.#readBackMs = 0;
  }

  async #readBack(directory: string): Promise<void> {
    const found = new Map<string, string>();
    for (const name of await readdir(directory)) {
      // What cannot be read as a file is certainly not as it should be.
      found.set(name, await readFile(join(directory, name), "utf8").catch(() => ""));
    }
    this.#tracker.observed(found);
  }

  #want(): void {
    const { endpoints, stateOf } = this.#options;
    const wanted = new Map<string, string>();
    let someAreDown = false;
    for (const [key, endpoint] of endpoints()) {
      if (endpoint.kind !== "workload") continue;
      const name = statusFileName(endpoint);
      if (stateOf(key) !== "up") someAreDown = true;
      else if (Buffer.byteLength(name) + unfinished.length <= nameBytesMax) wanted.set(name, statusFileText(endpoint));
    }
    for (const name of [...this.#tracker.allDesired.keys()]) if (!wanted.has(name)) this.#tracker.want(name, undefined);
    for (const [name, text] of wanted) this.#tracker.want(name, text);
    if (someAreDown) this.#soon(whileSomeAreDownMs);
  }
}

const unfinished = ".new";

/** Orchestrator, workload and endpoint, each as Go's url.PathEscape has it, joined by spaces. */
export function statusFileName({ orchestrator, workload, endpoint }: LocalWorkload): string {
  return [orchestrator, workload, endpoint].map(pathEscape).join(" ");
}

export function statusFileText({ interfaceName, mac, ipv4Nets, ipv6Nets }: LocalWorkload): string {
  return JSON.stringify({ ifaceName: interfaceName, mac, ipv4Nets, ipv6Nets, bgpPeerName: "" });
}

/** encodeURIComponent, but for the characters that Go lets stand and that Go does not. */
function pathEscape(text: string): string {
  const kept: Readonly<Record<string, string>> = {
    "%24": "$",
    "%26": "&",
    "%2B": "+",
    "%3A": ":",
    "%3D": "=",
    "%40": "@",
  };
  return encodeURIComponent(text)
    .replaceAll(/%(24|26|2B|3A|3D|40)/g, (escaped) => kept[escaped] ?? escaped)
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
