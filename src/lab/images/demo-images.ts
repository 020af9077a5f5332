/**
 * The images that every lab host has: nginx, redis and tools. Built from Debian packages on first use and kept in
 * a cache that outlives labs; or taken from a registry.
 */

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import type { LabImages } from "../lab.ts";
import { unpackPackages } from "./debian-packages.ts";
import { type ImageSettings, imageArchive, sha256 } from "./image-archive.ts";
import { pullImage } from "./registry.ts";
import { type RootfsRecipe, rootfs } from "./rootfs.ts";
import { tarArchive } from "./tar-archive.ts";

export interface ImageRecipe extends RootfsRecipe {
  readonly name: string;
  readonly packages: readonly string[];
  readonly settings: ImageSettings;
  /** Where `--pull` takes it from. */
  readonly registryName: string;
}

const env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

const nginxConf = `user root;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 512; }
http {
  access_log /dev/stdout;
  server {
    listen 80 default_server;
    listen [::]:80 default_server;
    root /usr/share/nginx/html;
    location = / {
      default_type text/html;
      return 200 "<!doctype html>\\n<title>Welcome to nginx!</title>\\n<h1>Welcome to nginx!</h1>\\n<p>Served by $hostname at $server_addr.</p>\\n";
    }
  }
}
`;

const recipes: readonly ImageRecipe[] = [
  {
    name: "nginx",
    registryName: "library/nginx",
    packages: ["busybox-static", "nginx"],
    programs: ["/usr/sbin/nginx"],
    links: {},
    folders: ["/run", "/var/log/nginx", "/var/lib/nginx", "/usr/share/nginx/html", "/root"],
    files: { "/etc/nginx/nginx.conf": nginxConf },
    settings: {
      env,
      cmd: ["nginx", "-g", "daemon off;"],
      workingDir: "/",
      exposedPorts: ["80/tcp"],
      stopSignal: "SIGQUIT",
    },
  },
  {
    name: "redis",
    registryName: "library/redis",
    packages: ["busybox-static", "redis-tools"],
    // Debian's redis-server is a link to the checker: one program that acts by its name.
    programs: ["/usr/bin/redis-check-rdb", "/usr/bin/redis-cli"],
    links: { "/usr/bin/redis-server": "redis-check-rdb" },
    folders: ["/data", "/root"],
    files: {},
    settings: {
      env,
      cmd: ["redis-server", "--bind", "*", "-::*", "--protected-mode", "no", "--save", ""],
      workingDir: "/data",
      exposedPorts: ["6379/tcp"],
    },
  },
  {
    name: "tools",
    registryName: "nicolaka/netshoot",
    packages: ["busybox-static", "iputils-ping", "netcat-openbsd", "wget", "curl", "knot-dnsutils", "socat"],
    programs: ["/bin/ping", "/bin/nc.openbsd", "/usr/bin/wget", "/usr/bin/curl", "/usr/bin/kdig", "/usr/bin/socat"],
    // busybox has ping and nc too: the folders of these come first on PATH. kdig takes dig's words.
    links: { "/usr/bin/ping": "/bin/ping", "/usr/bin/nc": "/bin/nc.openbsd", "/usr/bin/dig": "kdig" },
    folders: ["/root"],
    files: {},
    settings: { env, cmd: ["/bin/sh"], workingDir: "/", exposedPorts: [] },
  },
];

export const imageNames: readonly string[] = recipes.map(({ name }) => name);

export function imageCache(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  return environment.MARGAY_IMAGE_CACHE ?? "/var/cache/margay/images";
}

/** @param names which of them; all without. */
export function demoImages(options: { readonly pull?: boolean; readonly names?: readonly string[] } = {}): LabImages {
  const wanted = recipes.filter(({ name }) => options.names === undefined || options.names.includes(name));
  const paths = new Map<string, string>();
  return {
    async prepare(progress, signal) {
      await mkdir(imageCache(), { recursive: true });
      const missing = wanted.filter((recipe) => !existsSync(archivePath(recipe, options.pull === true)));
      if (options.pull === true) {
        for (const recipe of missing) await pullToCache(recipe, progress, signal);
      } else if (missing.length > 0) await buildToCache(missing, progress, signal);
      for (const recipe of wanted) paths.set(recipe.name, archivePath(recipe, options.pull === true));
    },
    async load(host, dockerSocket, progress, signal) {
      const startedMs = systemClock.monotonicMs();
      for (const path of paths.values()) await loadArchive(dockerSocket, path, signal);
      const seconds = ((systemClock.monotonicMs() - startedMs) / 1000).toFixed(1);
      progress(`${host}: images ${[...paths.keys()].join(", ")} are loaded (${seconds} s)`);
    },
  };
}

/** Another recipe, architecture or source is another file: nothing in the cache is ever stale. */
function archivePath(recipe: ImageRecipe, pulled: boolean): string {
  const identity = JSON.stringify({ recipe, architecture: process.arch, pulled, form: 1 });
  return join(imageCache(), `${recipe.name}-${sha256(identity).slice(0, 16)}.tar`);
}

async function buildToCache(
  missing: readonly ImageRecipe[],
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const names = missing.map(({ name }) => name).join(", ");
  const startedMs = systemClock.monotonicMs();
  const say = (line: string) => progress(`images: ${line}`);
  say(`building ${names} from Debian packages (on first use only)`);
  const folder = await mkdtemp(join(imageCache(), "build-"));
  try {
    const packages = [...new Set(missing.flatMap((recipe) => recipe.packages))];
    const root = await unpackPackages(packages, folder, say, signal);
    for (const recipe of missing) {
      const layer = tarArchive(await rootfs(root, recipe, signal));
      const archive = imageArchive(`${recipe.name}:latest`, layer, recipe.settings, architecture());
      await writeAtomically(archivePath(recipe, false), archive);
      say(`${recipe.name} is built (${(archive.length / 1024 / 1024).toFixed(0)} MiB)`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  say(`built in ${((systemClock.monotonicMs() - startedMs) / 1000).toFixed(0)} s, kept in ${imageCache()}`);
}

async function pullToCache(recipe: ImageRecipe, progress: (line: string) => void, signal: AbortSignal): Promise<void> {
  const say = (line: string) => progress(`images: ${line}`);
  const archive = await pullImage(
    {
      repository: recipe.registryName,
      reference: "latest",
      tag: `${recipe.name}:latest`,
      architecture: architecture(),
    },
    say,
    signal,
  );
  await writeAtomically(archivePath(recipe, true), archive);
}

async function writeAtomically(path: string, content: Uint8Array): Promise<void> {
  await writeFile(`${path}.${process.pid}`, content);
  await rename(`${path}.${process.pid}`, path);
}

/** Docker's (Go's) names of what Node calls process.arch. */
function architecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

async function loadArchive(dockerSocket: string, path: string, signal: AbortSignal): Promise<void> {
  const response = await fetch("http://docker/images/load?quiet=1", {
    unix: dockerSocket,
    method: "POST",
    headers: { "Content-Type": "application/x-tar" },
    body: Bun.file(path),
    signal: AbortSignal.any([signal, AbortSignal.timeout(120_000)]),
  });
  const answer = await response.text();
  // A failure comes inside a 200, as a line of the stream.
  if (!response.ok || answer.includes('"error"')) {
    throw new OperationError("IMAGE_LOAD_FAILED", `Docker did not load ${path}: ${answer.trim()}`);
  }
}
