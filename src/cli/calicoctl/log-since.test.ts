/** Logs from a time on, in the forms that are found on a host. */

import { expect, test } from "bun:test";
import { logSince } from "./log-since.ts";

const at = (text: string) => Date.parse(text);
const since = at("2026-01-02T12:00:00Z");
const forms: readonly [name: string, line: (time: string) => string][] = [
  ["the node", (time) => `{"level":30,"time":"${time}","role":"node","event":"x"}`],
  ["pino by number", (time) => `{"level":30,"time":${at(time)},"msg":"x"}`],
  ["Felix", (time) => `${time.replace("T", " ").replace("Z", "")} [INFO][77] felix/x.go 1: x`],
  ["confd", (time) => `${time} host confd[7]: INFO x`],
];

for (const [name, line] of forms) {
  test(`the log of ${name} begins with its first line that is not older`, () => {
    const [old, exact, later] = [
      "2026-01-02T11:59:59.999Z",
      "2026-01-02T12:00:00.000Z",
      "2026-01-02T12:30:00.000Z",
    ].map(line);
    const more = "  at line 7\n";
    expect(logSince(`${old}\n${more}${exact}\n${more}${later}\n`, since)).toBe(`${exact}\n${more}${later}\n`);
    expect(logSince(`${old}\n${more}`, since)).toBe("");
    // Clocks that were set back do not cut what came later.
    expect(logSince(`${exact}\n${old}\n${later}\n`, since)).toBe(`${exact}\n${old}\n${later}\n`);
  });
}

test("lines without any time are older than the first that has one", () => {
  expect(logSince("hello\nworld\n", since)).toBe("");
  expect(logSince("", since)).toBe("");
});
