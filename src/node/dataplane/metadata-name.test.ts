/** MetadataAddr as a name: what the data plane takes it for, and when. */
import { expect, test } from "bun:test";
import { type IpAddress, parseIpAddress } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import { defaultSettings } from "./default-settings.ts";
import { MetadataName } from "./metadata-name.ts";

const settings = (host: string): HostSettings => ({
  ...defaultSettings,
  openStack: { metadata: { host, port: 8775 } },
});

function newName() {
  const clock = new TestClock();
  const answers = new Map<string, readonly string[]>();
  const seen = { changes: 0, questions: 0 };
  const resolve = async (name: string): Promise<readonly IpAddress[]> => {
    seen.questions++;
    const answer = answers.get(name);
    if (answer === undefined) throw new Error("no such name");
    return answer.map((text) => parseIpAddress(text));
  };
  const name = new MetadataName({ clock, resolve, onChange: () => seen.changes++ });
  const hostOf = (text: string) => name.resolved(settings(text)).openStack?.metadata?.host;
  return { clock, answers, seen, name, hostOf };
}

/** Lets the answer that is on its way come in. */
const answered = () => new Promise((resolve) => setImmediate(resolve));

test("an address is taken as it is, and nothing is looked up; so are settings without a metadata service", () => {
  const { name, seen } = newName();
  const given = settings("127.0.0.1");
  expect(name.resolved(given)).toBe(given);
  expect(name.resolved(defaultSettings)).toBe(defaultSettings);
  expect([seen, name.problem]).toEqual([{ changes: 0, questions: 0 }, undefined]);
});

test("a name is no service until it is known, then its address, and is asked for again every minute", async () => {
  const { name, answers, seen, clock, hostOf } = newName();
  answers.set("a.example", ["10.0.0.1", "10.0.0.2"]);
  expect([hostOf("a.example"), name.problem]).toEqual([undefined, 'MetadataAddr: "a.example" is being looked up']);
  await answered();
  expect([hostOf("a.example"), name.problem, seen]).toEqual(["10.0.0.1", undefined, { changes: 1, questions: 1 }]);
  // In another order it is the same service.
  answers.set("a.example", ["10.0.0.2", "10.0.0.1"]);
  await clock.advance(60_000);
  await answered();
  expect([hostOf("a.example"), seen]).toEqual(["10.0.0.1", { changes: 1, questions: 2 }]);
  answers.set("a.example", ["10.0.0.3"]);
  await clock.advance(60_000);
  await answered();
  expect([hostOf("a.example"), seen.changes]).toEqual(["10.0.0.3", 2]);
});

test("what is known stays when the name is not found any more, with the reason; of another name nothing is known", async () => {
  const { name, answers, seen, clock, hostOf } = newName();
  answers.set("a.example", ["10.0.0.1"]);
  hostOf("a.example");
  await answered();
  answers.delete("a.example");
  await clock.advance(60_000);
  await answered();
  expect([hostOf("a.example"), name.problem]).toEqual([
    "10.0.0.1",
    'MetadataAddr: "a.example" cannot be looked up: no such name',
  ]);
  answers.set("b.example", []);
  expect(hostOf("b.example")).toBeUndefined();
  await answered();
  expect(name.problem).toBe('MetadataAddr: "b.example" has no IPv4 address');
  expect(seen.changes).toBe(1);
});

test("an answer that comes after the name was changed counts for nothing, and nothing is asked after the end", async () => {
  const { name, answers, seen, clock, hostOf } = newName();
  answers.set("a.example", ["10.0.0.1"]);
  hostOf("a.example");
  expect(hostOf("10.0.0.9")).toBe("10.0.0.9");
  await answered();
  expect([seen.changes, name.problem]).toEqual([0, undefined]);
  hostOf("a.example");
  await answered();
  name[Symbol.dispose]();
  await clock.advance(600_000);
  expect(seen.questions).toBe(2);
});
