/** Writes into a container's endpoint records what they must know of each other (container-siblings.ts). */
import { OperationError } from "../../../base/errors.ts";
import { encode } from "../../../model/resource.ts";
import { decodeWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { Store } from "../../../store/store.ts";
import { type JoinedEndpoint, type RelateOptions, related } from "./container-siblings.ts";
import { endpointKey } from "./endpoint-names.ts";

const ATTEMPTS_MAX = 10;

export interface RelatedRecord {
  readonly key: string;
  /** As it is now. */
  readonly revision: number;
}

export interface SiblingRecordsOptions extends RelateOptions {
  readonly host: string;
  readonly store: Store;
}

export class SiblingRecords {
  readonly #options: SiblingRecordsOptions;

  constructor(options: SiblingRecordsOptions) {
    this.#options = options;
  }

  /**
   * All records in one transaction; those that are gone are nobody's siblings. Nothing is written when all is right.
   * @param endpoints all that have an interface in one container; a single one loses what it knew of others.
   */
  async relate(
    endpoints: readonly JoinedEndpoint[],
    signal: AbortSignal,
  ): Promise<{ readonly changed: boolean; readonly records: readonly RelatedRecord[] }> {
    const { host, store } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const read = await Promise.all(
        endpoints.map(async ({ endpointId, isGateway }) => {
          const kv = await store.get(endpointKey(host, endpointId), { signal });
          return kv === undefined ? [] : [{ ...kv, record: decodeWorkloadEndpoint(kv.value, kv.key), isGateway }];
        }),
      );
      const stored = read.flat();
      const now = related(stored, this.#options).map(encode);
      const changed = stored.flatMap((kv, at) => {
        const value = now[at] ?? kv.value;
        return value === kv.value ? [] : [{ ...kv, value }];
      });
      const unchanged = {
        changed: false,
        records: stored.map(({ key, modRevision }) => ({ key, revision: modRevision })),
      };
      if (changed.length === 0) return unchanged;
      const outcome = await store.transact(
        {
          compare: stored.map(({ key, modRevision }) => ({ key, modRevision })),
          success: changed.map(({ key, value }) => ({ put: key, value })),
        },
        { signal },
      );
      const written = new Set(changed.map(({ key }) => key));
      const records = unchanged.records.map((one) =>
        written.has(one.key) ? { ...one, revision: outcome.revision } : one,
      );
      if (outcome.succeeded) return { changed: true, records };
    }
    throw new OperationError("STORE_CONFLICT", `a container's records were changed by others ${ATTEMPTS_MAX} times`, {
      retry: "backoff",
    });
  }
}
