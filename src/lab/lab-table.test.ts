/** How a lab looks as text. */

import { expect, test } from "bun:test";
import { age, labTable, table } from "./lab-table.ts";

test("columns are as wide as their widest cell, without blanks at the end", () => {
  expect(table(["A", "LONG"], [["wide cell", "x"], ["y"]])).toBe("A          LONG\nwide cell  x\ny\n");
});

for (const [ms, text] of [
  [0, "0s"],
  [119_000, "119s"],
  [120_000, "2m"],
  [7_200_000, "2h"],
  [-5, "0s"],
] as const) {
  test(`${ms} ms are ${text}`, () => expect(age(ms)).toBe(text));
}

test("a service that is not ready says why", () => {
  const text = labTable(
    {
      version: 1,
      name: "one",
      phase: "starting",
      reason: "",
      createdAt: "2026-01-01T00:00:00.000Z",
      store: "etcd",
      storeEndpoint: "http://172.31.0.11:2379",
      planIndex: 0,
      subnet: "172.31.0.0/24",
      outside: "198.51.100.1",
      supervisor: { pid: 17, start: "4711" },
      switchPid: 18,
      forwards: [{ name: "api", address: "127.0.0.1", port: 8081, to: "host1:8080" }],
      hosts: [
        {
          name: "host1",
          address: "172.31.0.11",
          pid: 19,
          services: [
            { name: "store", phase: "ready", pid: 20, reason: "ready", restarts: 2, sinceMs: 1_000 },
            { name: "node", phase: "restarting", reason: "ended with exit code 1", restarts: 7, sinceMs: 2_000 },
          ],
        },
      ],
      supervised: true,
      links: { host1: "cut" },
    },
    4_000,
  );
  expect(text).toBe(`Lab "one": starting
store etcd at http://172.31.0.11:2379, hosts in 172.31.0.0/24, the world beyond at 198.51.100.1
api http://127.0.0.1:8081 -> host1:8080

HOST   ADDRESS      LINK  SERVICE  STATE                               RESTARTS  SINCE
host1  172.31.0.11  cut   store    ready                               2         3s
                          node     restarting: ended with exit code 1  7         2s
`);
});
