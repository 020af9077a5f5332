/** An image of Margay as docs/calicoctl-classic.md has one made: the single executable, and from Debian's packages what it loads. */

import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { OperationError } from "../../src/base/errors.ts";
import { unpackPackages } from "../../src/lab/images/debian-packages.ts";
import { imageArchive } from "../../src/lab/images/image-archive.ts";
import { rootfs } from "../../src/lab/images/rootfs.ts";
import { tarArchive } from "../../src/lab/images/tar-archive.ts";

const packages = ["busybox-static", "nftables", "iptables"];
const margay = "/usr/local/bin/margay";
const iptables = "/usr/sbin/xtables-nft-multi";

/** As `docker load` takes it. */
export async function margayImage(tag: string, cmd: readonly string[]): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), "margay-image-"));
  try {
    const signal = AbortSignal.timeout(120_000);
    const root = await unpackPackages(packages, folder, () => undefined, signal);
    await build(join(folder, "dist"));
    mkdirSync(dirname(join(root, margay)), { recursive: true });
    copyFileSync(join(folder, "dist", "margay"), join(root, margay));
    // Rules of others are listed, too, whatever they match on.
    const extensions = [...new Bun.Glob("usr/lib/*/xtables/lib{xt,ipt,ip6t}_*.so").scanSync({ cwd: root })];
    const recipe = {
      programs: [margay, "/usr/sbin/nft", iptables, ...extensions.map((path) => `/${path}`)],
      links: Object.fromEntries(["iptables-nft", "ip6tables-nft"].map((name) => [`/usr/sbin/${name}`, iptables])),
      folders: ["/root"],
      files: {},
    };
    const entries = await rootfs(root, recipe, signal);
    // As in Debian, and as every program expects it.
    const layer = tarArchive([...entries, { kind: "link", path: "var/run", target: "/run" }]);
    const env = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    const architecture = process.arch === "x64" ? "amd64" : process.arch;
    return imageArchive(tag, layer, { cmd, env, workingDir: "/", exposedPorts: [] }, architecture);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function build(folder: string): Promise<void> {
  const child = Bun.spawn(["node", "scripts/build.mjs", folder], { stdout: "ignore", stderr: "pipe" });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new OperationError("BUILD_FAILED", said);
}

export async function loadImage(dockerSocket: string, archive: Uint8Array): Promise<void> {
  const response = await fetch("http://docker/images/load?quiet=1", {
    unix: dockerSocket,
    method: "POST",
    headers: { "Content-Type": "application/x-tar" },
    body: Buffer.from(archive),
    signal: AbortSignal.timeout(120_000),
  });
  const answer = await response.text();
  if (!response.ok || answer.includes('"error"')) throw new OperationError("IMAGE_LOAD_FAILED", answer.trim());
}
