/** `npm run build`: the single executable dist/margay, and the names that it also answers to. */

import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { bun, root, run, setup } from "./setup.mjs";

setup();
const dist = join(root, "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
run(bun, ["build", "--compile", "--minify-syntax", "--sourcemap=none", "src/main.ts", "--outfile", "dist/margay"]);
for (const name of ["calicoctl", "calico", "calico-ipam", "calico_mesos"]) symlinkSync("margay", join(dist, name));
