import { expect, test } from "bun:test";
import { MarathonLab } from "../testing/marathon-lab.ts";

export const seedUser = {
  id: "my-docker-task",
  cpus: 0.1,
  mem: 64.0,
  container: { type: "DOCKER", docker: { network: "USER", image: "nginx" } },
  ipAddress: { networkName: "my-calico-net" },
  healthChecks: [
    {
      protocol: "HTTP",
      path: "/",
      port: 80,
      gracePeriodSeconds: 300,
      intervalSeconds: 60,
      timeoutSeconds: 20,
      maxConsecutiveFailures: 3,
    },
  ],
};

test("an app created, scaled over the hosts and destroyed (checklist 1, 4, 8, 15)", async () => {
  await using lab = await MarathonLab.open();
  const created = await lab.ask("POST", "/v2/apps", seedUser);
  expect(created.status).toBe(201);
  await lab.until("running", () => lab.master.print() === "my-docker-task host1 TASK_RUNNING");
  for (const task of lab.master.alive()) lab.master.update(task.info.task_id.value, "TASK_RUNNING", { healthy: true });
  await lab.deployed();
  const app = await lab.app("/my-docker-task");
  expect(app).toMatchObject({ tasksRunning: 1, tasksHealthy: 1, deployments: [] });
});
