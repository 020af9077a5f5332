/** Images of one Docker daemon. Source: reference/docker.md 5.6. */
import { z } from "zod";
import type { CallOptions } from "./containers.ts";
import { type EngineConnection, segment } from "./engine-connection.ts";
import { EngineError, engineStatus } from "./engine-error.ts";
import { jsonObjects } from "./json-stream.ts";
import { ANONYMOUS, type Credential } from "./registry-auth.ts";

export const imageInspection = z.looseObject({
  Id: z.string(),
  RepoTags: z.array(z.string()).nullish(),
  Config: z
    .looseObject({
      Env: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
});
export type ImageInspection = z.output<typeof imageInspection>;

const progressLine = z.looseObject({
  status: z.string().default(""),
  id: z.string().optional(),
  progressDetail: z.looseObject({ current: z.number().optional(), total: z.number().optional() }).nullish(),
  error: z.string().optional(),
  errorDetail: z.looseObject({ message: z.string().optional() }).nullish(),
});

export interface PullProgress {
  readonly status: string;
  readonly layer: string | undefined;
  readonly currentBytes: number | undefined;
  readonly totalBytes: number | undefined;
}

export class Images {
  readonly #connection: EngineConnection;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  /** Undefined: the daemon has no such image. */
  async inspect(reference: string, options: CallOptions = {}): Promise<ImageInspection | undefined> {
    try {
      const path = `/images/${reference.split("/").map(segment).join("/")}/json`;
      return await this.#connection.json(imageInspection, { method: "GET", path, signal: options.signal });
    } catch (error) {
      if (engineStatus(error) === 404) return undefined;
      throw error;
    }
  }

  /** Reads the progress to its end: a failed pull is announced inside a 200 answer. */
  async pull(
    reference: string,
    options: CallOptions & { credential?: Credential; onProgress?: (progress: PullProgress) => void } = {},
  ): Promise<void> {
    const { repository, tag } = splitReference(reference);
    const response = await this.#connection.request({
      method: "POST",
      path: "/images/create",
      query: { fromImage: repository, tag },
      headers: { "X-Registry-Auth": (options.credential ?? ANONYMOUS).header() },
      timeoutMs: "none",
      signal: options.signal,
    });
    if (response.body === null) return;
    try {
      for await (const line of jsonObjects(response.body)) {
        const progress = progressLine.parse(line);
        const failure = progress.errorDetail?.message ?? progress.error;
        if (failure !== undefined) throw new EngineError("DOCKER_REFUSED", 500, failure);
        options.onProgress?.({
          status: progress.status,
          layer: progress.id,
          currentBytes: progress.progressDetail?.current,
          totalBytes: progress.progressDetail?.total,
        });
      }
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (cause instanceof EngineError) throw cause;
      throw new EngineError("DOCKER_UNAVAILABLE", 0, `Docker went away while pulling ${reference}`, { cause });
    }
  }
}

/**
 * Repository and tag or digest of a reference. Without a tag the answer is "latest": asked for no tag at all, Docker would
 * pull every tag of the repository.
 */
export function splitReference(reference: string): { readonly repository: string; readonly tag: string } {
  const at = reference.indexOf("@");
  if (at >= 0) {
    // A digest decides alone; a tag beside it is for the reader.
    return { repository: splitReference(reference.slice(0, at)).repository, tag: reference.slice(at + 1) };
  }
  const colon = reference.lastIndexOf(":");
  if (colon > reference.lastIndexOf("/"))
    return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  return { repository: reference, tag: "latest" };
}
