/**
 * Fills in the status of CalicoNodeStatus objects that ask about this host (calico-datastore.md 2.12), each as often as it
 * says. Told is what is so: routes as the kernel has them; of BGP and of the BIRD daemons, that there are none.
 */
import { ipFamily } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { BadInput } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import type { RouteEntry } from "../../kernel/all-routes.ts";
import { kindPrefix } from "../../model/keys.ts";
import { decode, encode, timestamp } from "../../model/resource.ts";
import { CalicoNodeStatus } from "../../model/small-kinds.ts";
import type { KeyValue, Store } from "../../store/store.ts";

export interface NodeStatusOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly routes: () => { readonly routes: readonly RouteEntry[]; readonly interfaceName: (index: number) => string };
}

interface Asked {
  readonly object: CalicoNodeStatus;
  readonly modRevision: number;
  dueMs: number;
}

const prefix = kindPrefix("CalicoNodeStatus");
const tickMs = 1_000;

export class NodeStatusResources {
  readonly #options: NodeStatusOptions;
  readonly #asked = new Map<string, Asked>();
  readonly #reconciler: Reconciler;

  constructor(options: NodeStatusOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#reconciler = new Reconciler({
      name: "node-status",
      clock,
      log,
      pass: (signal) => this.#pass(signal),
      resyncEveryMs: tickMs,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#reconciler.run(signal);
  }

  update(key: string, kv: KeyValue | undefined): void {
    if (!key.startsWith(prefix)) return;
    const before = this.#asked.get(key);
    this.#asked.delete(key);
    const object = kv && readable(kv);
    if (kv === undefined || object?.spec.node !== this.#options.host || object.spec.updatePeriodSeconds === 0) return;
    // Our own write comes back here: it is no new question.
    const same = before !== undefined && JSON.stringify(before.object.spec) === JSON.stringify(object.spec);
    const dueMs = same ? before.dueMs : this.#options.clock.monotonicMs();
    this.#asked.set(key, { object, modRevision: kv.modRevision, dueMs });
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const [key, asked] of [...this.#asked]) {
      if (nowMs < asked.dueMs) continue;
      const value = encode({ ...asked.object, status: { ...asked.object.status, ...this.#status(asked.object) } });
      // Changed meanwhile: the watch tells of it, and it is tried again with what is there then.
      const compare = [{ key, modRevision: asked.modRevision }];
      const { succeeded } = await store.transact({ compare, success: [{ put: key, value }] }, { signal });
      if (succeeded) asked.dueMs = nowMs + asked.object.spec.updatePeriodSeconds * 1_000;
    }
  }

  #status({ spec }: CalicoNodeStatus): Record<string, unknown> {
    const has = (name: (typeof spec.classes)[number]) => spec.classes.includes(name);
    const noBird = { state: "NotReady" };
    return {
      lastUpdated: timestamp(this.#options.clock.nowMs()),
      ...(has("Agent") ? { agent: { birdV4: noBird, birdV6: noBird } } : {}),
      ...(has("BGP") ? { bgp: noPeers } : {}),
      ...(has("Routes") ? { routes: this.#routes() } : {}),
    };
  }

  #routes(): Record<string, unknown> {
    const { routes, interfaceName } = this.#options.routes();
    const told = (family: 4 | 6) =>
      routes
        .filter(({ destination, kind }) => ipFamily(destination) === family && kind !== "nowhere")
        .map(({ destination, gateway, interfaceIndex }) => ({
          type: "FIB",
          destination,
          ...(gateway === undefined ? {} : { gateway }),
          interface: interfaceName(interfaceIndex),
          learnedFrom: { sourceType: gateway === undefined ? "Direct" : "Kernel" },
        }));
    return { routesV4: told(4), routesV6: told(6) };
  }
}

const noPeers = {
  numberEstablishedV4: 0,
  numberNotEstablishedV4: 0,
  numberEstablishedV6: 0,
  numberNotEstablishedV6: 0,
};

function readable({ key, value }: KeyValue): CalicoNodeStatus | undefined {
  try {
    return decode(CalicoNodeStatus, value, key);
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
