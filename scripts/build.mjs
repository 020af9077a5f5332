/**
 * `npm run build`: the single executable dist/margay, and the names that it also answers to. Another folder than dist may
 * be named. Byte code and split modules are for the start of short commands: a third of the time without them.
 */

import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { bun, root, run, setup } from "./setup.mjs";

setup();
const dist = process.argv[2] === undefined ? join(root, "dist") : resolve(process.argv[2]);
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const how = ["--compile", "--bytecode", "--splitting", "--format=esm", "--minify-syntax", "--sourcemap=none"];
run(bun, ["build", ...how, "src/main.ts", "--outfile", join(dist, "margay")]);
for (const name of ["calicoctl", "calico", "calico-ipam", "calico_mesos"]) symlinkSync("margay", join(dist, name));
