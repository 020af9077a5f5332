/** Brings up a lab with Docker daemons only and waits to be killed. For the test that kills everything. */

import { Lab } from "../lab.ts";

const [name = "", parts = "docker"] = process.argv.slice(2);
const lab = await Lab.create({ name, hosts: 1, parts: parts === "none" ? "none" : "docker" });
process.stdout.write("up\n");
await lab.finished;
