/**
 * The pools as last seen, also over a restart of the node while the store is away: Docker asks for its networks' pools when it
 * boots, and a network whose pool is refused then would be lost to it (reference/docker.md 8.1).
 */
import { z } from "zod";
import { parseCidr } from "../../base/addresses.ts";
import { OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { orAborted } from "../../base/or-aborted.ts";
import type { Pool } from "../../model/ip-pool.ts";
import { StateFiles } from "./state-files.ts";

const FILE = "pools";

const poolState = z.array(
  z.object({
    name: z.string(),
    cidr: z.string().transform((text) => parseCidr(text)),
    blockSize: z.number(),
    natOutgoing: z.boolean(),
    disabled: z.boolean(),
    nodeSelector: z.string(),
    allowedUses: z.array(z.string()),
    automatic: z.boolean(),
    allocatable: z.boolean().default(true), // files of older versions do not say
  }),
);

export class PoolMemory {
  readonly #file: StateFiles<typeof poolState>;
  readonly #known = Promise.withResolvers<void>();
  #pools: readonly Pool[];

  constructor(directory: string, log: Log) {
    this.#file = StateFiles.open(directory, poolState, log);
    const stored = this.#file.get(FILE);
    this.#pools = stored ?? [];
    if (stored !== undefined) this.#known.resolve();
  }

  /** Told by the node with each change, once the first listing is complete. */
  update(pools: readonly Pool[]): void {
    this.#pools = pools;
    this.#file.put(
      FILE,
      [...pools].map((pool) => ({ ...pool, allowedUses: [...pool.allowedUses] })),
    );
    this.#known.resolve();
  }

  /** @throws OperationError while no pools were ever seen. */
  async pools(signal: AbortSignal): Promise<readonly Pool[]> {
    try {
      await orAborted(this.#known.promise, signal);
    } catch (cause) {
      throw new OperationError("DOCKER_POOLS_UNKNOWN", "the datastore has not told the Calico IP pools yet", {
        retry: "backoff",
        cause,
      });
    }
    return this.#pools;
  }
}
