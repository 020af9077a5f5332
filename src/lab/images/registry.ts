/**
 * An image from a registry as an archive that `docker load` takes. The virtual hosts have no way out, so the machine
 * fetches: OCI distribution specification v1, anonymous, with the token that the registry asks for.
 */

import { z } from "zod";
import { BadInput, OperationError } from "../../base/errors.ts";
import { sha256 } from "./image-archive.ts";
import { tarArchive } from "./tar-archive.ts";

export interface PullOptions {
  readonly repository: string;
  readonly reference: string;
  /** What it is called on the hosts. */
  readonly tag: string;
  readonly architecture: string;
  /** Default: MARGAY_REGISTRY, or Docker's own. */
  readonly registry?: string;
}

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const manifestSchema = z.object({
  config: z.object({ digest }),
  layers: z.array(z.object({ digest, size: z.number().max(2 ** 31) })).max(200),
});
const indexSchema = z.object({
  manifests: z.array(z.object({ digest, platform: z.object({ architecture: z.string(), os: z.string() }).optional() })),
});

const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
const requestTimeoutMs = 10 * 60_000;

export async function pullImage(
  options: PullOptions,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const registry = options.registry ?? process.env.MARGAY_REGISTRY ?? "https://registry-1.docker.io";
  const session = new RegistrySession(registry, options.repository, signal);
  progress(`pulling ${options.repository}:${options.reference} from ${registry}`);
  const manifest = await session.manifest(options.reference, options.architecture);
  const config = await session.blob(manifest.config.digest);
  const layers: { name: string; content: Uint8Array }[] = [];
  for (const [at, layer] of manifest.layers.entries()) {
    progress(
      `${options.tag}: layer ${at + 1} of ${manifest.layers.length}, ${(layer.size / 1024 / 1024).toFixed(1)} MiB`,
    );
    layers.push({ name: `layer-${at}.tar`, content: await session.blob(layer.digest) });
  }
  const configName = `${manifest.config.digest.slice("sha256:".length)}.json`;
  const archive = [{ Config: configName, RepoTags: [options.tag], Layers: layers.map(({ name }) => name) }];
  return tarArchive([
    { kind: "file", path: "manifest.json", mode: 0o644, content: Buffer.from(JSON.stringify(archive)) },
    { kind: "file", path: configName, mode: 0o644, content: config },
    // Compressed as they come: docker load unpacks them.
    ...layers.map(({ name, content }) => ({ kind: "file" as const, path: name, mode: 0o644, content })),
  ]);
}

class RegistrySession {
  readonly #base: string;
  readonly #signal: AbortSignal;
  #token: string | undefined;

  constructor(registry: string, repository: string, signal: AbortSignal) {
    this.#base = `${registry.replace(/\/+$/, "")}/v2/${repository}`;
    this.#signal = signal;
  }

  async manifest(reference: string, architecture: string): Promise<z.output<typeof manifestSchema>> {
    const document: unknown = await (await this.#get(`/manifests/${reference}`, manifestTypes)).json();
    const index = indexSchema.safeParse(document);
    if (!index.success) return manifestSchema.parse(document);
    const found = index.data.manifests.find(
      ({ platform }) => platform?.architecture === architecture && platform.os === "linux",
    );
    if (found === undefined) {
      throw new OperationError("IMAGE_NO_PLATFORM", `${this.#base} has no image for linux/${architecture}`);
    }
    return manifestSchema.parse(await (await this.#get(`/manifests/${found.digest}`, manifestTypes)).json());
  }

  async blob(name: string): Promise<Uint8Array> {
    const response = await this.#get(`/blobs/${name}`, "application/octet-stream");
    const content = new Uint8Array(await response.arrayBuffer());
    if (`sha256:${sha256(content)}` !== name) throw new OperationError("IMAGE_DAMAGED", `${name} arrived damaged`);
    return content;
  }

  async #get(path: string, accept: string): Promise<Response> {
    let response = await this.#fetch(path, accept);
    if (response.status === 401) {
      this.#token = await this.#newToken(response.headers.get("www-authenticate") ?? "");
      response = await this.#fetch(path, accept);
    }
    if (response.ok) return response;
    throw new OperationError(
      "IMAGE_PULL_FAILED",
      `${this.#base}${path} answers ${response.status} ${response.statusText}`,
    );
  }

  #fetch(path: string, accept: string): Promise<Response> {
    const headers: Record<string, string> = { Accept: accept };
    if (this.#token !== undefined) headers.Authorization = `Bearer ${this.#token}`;
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(requestTimeoutMs)]);
    return fetch(`${this.#base}${path}`, { headers, signal });
  }

  async #newToken(challenge: string): Promise<string> {
    const fields = Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]));
    if (fields.realm === undefined) throw new BadInput("www-authenticate", `"${challenge}"`, "a Bearer challenge");
    const url = new URL(fields.realm);
    for (const name of ["service", "scope"]) if (fields[name] !== undefined) url.searchParams.set(name, fields[name]);
    const response = await fetch(url, { signal: AbortSignal.any([this.#signal, AbortSignal.timeout(30_000)]) });
    const answer = z
      .object({ token: z.string().optional(), access_token: z.string().optional() })
      .parse(await response.json());
    const token = answer.token ?? answer.access_token;
    if (token === undefined) throw new OperationError("IMAGE_PULL_FAILED", `${url.origin} gave no token`);
    return token;
  }
}
