/** `npm run bench [WORD...]`: runs bench/*.bench.ts (those whose name holds one of the words) one after the other. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { bun, root, run, setup } from "./setup.mjs";

setup();
const words = process.argv.slice(2);
const files = readdirSync(join(root, "bench")).filter((file) => file.endsWith(".bench.ts"));
for (const file of files.filter((name) => words.length === 0 || words.some((word) => name.includes(word)))) {
  console.log(`\n== ${file}`);
  run(bun, [`bench/${file}`]);
}
