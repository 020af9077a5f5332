/** From the POST of an application to its first healthy task, local image, idle cluster. Goal: p99 at most 2 s. */

import { Cluster, guideApps } from "../test/acceptance/cluster.ts";
import { judge, printMachine, printSpread, timedMs } from "./figures.ts";

const rounds = 10;

printMachine();
await using cluster = await Cluster.create({ hosts: 3, name: "b-app" });
await cluster.createNetwork("my-calico-net");

const samples: number[] = [];
for (let round = 0; round < rounds; round++) {
  const app = { ...guideApps["networks (1.5)"], id: `round-${round}` };
  samples.push(
    await timedMs(async () => {
      const { status } = await cluster.api("POST", "/v2/apps", app);
      if (status !== 201) throw new Error(`status ${status}`);
      await cluster.healthy(app.id, 1);
    }),
  );
  await cluster.destroy(app.id);
}
const spread = printSpread("app create to healthy", samples, "ms");
judge("p99 in seconds", spread.p99 / 1000, { goal: "<= 2", met: spread.p99 <= 2000, budgetMet: spread.p99 <= 10_000 });
