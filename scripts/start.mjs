/**
 * `npm start [-- --check]`: installs what is missing (npm packages, Debian packages), then runs `margay start`.
 * Plain Node, no dependencies: it is the first thing that runs on a fresh machine.
 */

import { spawn } from "node:child_process";
import { join } from "node:path";
import { bun, fail, root, run, setup } from "./setup.mjs";

const args = process.argv.slice(2);
const main = join(root, "src/main.ts");

if (process.platform !== "linux") fail(`it runs on Linux; this is ${process.platform}`);
setup();
if (!args.includes("--help") && !args.includes("-h")) {
  const etcd = args.join(" ").includes("--store=etcd") || args.join(" ").includes("--store etcd");
  run(bun, [main, "lab", "prerequisites", "--install", `--for=${etcd ? "etcd" : "embedded"}`]);
}

// Ctrl-C reaches every process of the terminal: we wait for the lab to be taken down, and end as it does.
const child = spawn(bun, [main, "start", ...args], { stdio: "inherit" });
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
process.exitCode = await new Promise((resolve) => {
  child.on("error", (error) => fail(`cannot run ${bun}: ${error.message}`));
  child.on("exit", (code) => resolve(code ?? 130));
});
