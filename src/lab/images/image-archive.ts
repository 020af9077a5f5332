/** An image of one layer in the form of `docker save`, which `docker load` takes. Pure: same layer, same bytes. */

import { createHash } from "node:crypto";
import { tarArchive } from "./tar-archive.ts";

export interface ImageSettings {
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly exposedPorts: readonly string[];
  readonly stopSignal?: string;
}

export function imageArchive(
  tag: string,
  layer: Uint8Array,
  settings: ImageSettings,
  architecture: string,
): Uint8Array {
  const config = JSON.stringify({
    architecture,
    os: "linux",
    created: "2026-01-01T00:00:00Z",
    config: {
      Env: settings.env,
      Cmd: settings.cmd,
      WorkingDir: settings.workingDir,
      ExposedPorts: Object.fromEntries(settings.exposedPorts.map((port) => [port, {}])),
      ...(settings.stopSignal === undefined ? {} : { StopSignal: settings.stopSignal }),
      Labels: { "org.margay.image": "built from Debian packages" },
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: "2026-01-01T00:00:00Z", created_by: "margay lab" }],
  });
  const configName = `${sha256(config)}.json`;
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [tag], Layers: ["layer.tar"] }]);
  return tarArchive([
    { kind: "file", path: "manifest.json", mode: 0o644, content: Buffer.from(manifest) },
    { kind: "file", path: configName, mode: 0o644, content: Buffer.from(config) },
    { kind: "file", path: "layer.tar", mode: 0o644, content: layer },
  ]);
}

export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
