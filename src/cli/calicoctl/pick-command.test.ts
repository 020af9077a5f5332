/** The same words in three families of releases (calicoctl.md 8), former words (1.6), and words that nobody knows. */

import { expect, test } from "bun:test";
import { pickCommand } from "./pick-command.ts";
import { presentWords } from "./synonyms.ts";

const cases: readonly [line: string, family: "seed" | "classic" | "modern", args: string][] = [
  ["node", "classic", ""],
  ["node --ip=1.1.1.1", "classic", "--ip=1.1.1.1"],
  ["node stop --force", "classic", "stop --force"],
  ["node bgp peer show", "classic", "bgp peer show"],
  ["ETCD node --ip=1.1.1.1", "seed", "--ip=1.1.1.1"],
  ["ETCD node --ip=1.1.1.1 --node-image=i", "seed", "--ip=1.1.1.1 --node-image=i"],
  ["ETCD node show", "classic", "show"],
  ["ETCD node --ip=1.1.1.1 --ip6=::1", "classic", "--ip=1.1.1.1 --ip6=::1"],
  ["status", "classic", ""],
  ["ETCD status", "seed", ""],
  ["diags", "classic", ""],
  ["checksystem --fix", "classic", "--fix"],
  ["version", "modern", ""],
  ["ETCD version", "modern", ""],
  ["ipam release 1.1.1.1", "classic", "1.1.1.1"],
  ["ipam info 1.1.1.1", "classic", "1.1.1.1"],
  ["ipam show --ip=1.1.1.1", "modern", "--ip=1.1.1.1"],
  ["profile show", "classic", "show"],
  ["pool show", "classic", "show"],
  ["get profile", "modern", "profile"],
  ["master --ip=1.1.1.1", "seed", "--ip=1.1.1.1"],
  ["reset", "seed", ""],
  ["addgroup web", "seed", "web"],
  ["group add web", "seed", "web"],
  ["group addmember web c1", "seed", "c1 web"],
  ["group removemember web c1", "classic", "c1 profile remove web"],
  ["shownodes --detailed", "classic", "show"],
  ["ipv6 pool show", "classic", "show --ipv6"],
  ["ipv4 pool del 10.0.0.0/16", "classic", "remove 10.0.0.0/16"],
  ["ipv4 container c1 add 10.0.0.1 --interface=eth2", "classic", "c1 ip add 10.0.0.1 --interface=eth2"],
  ["bgppeer add 1.1.1.1 as 1", "classic", "peer add 1.1.1.1 as 1"],
  ["node bgppeer show", "classic", "bgp peer show"],
  ["default-node-as", "classic", "default-node-as"],
  ["bgp-node-mesh off", "classic", "node-mesh off"],
  ["profile P member add c1", "classic", "c1 profile append P"],
];
for (const [line, family, args] of cases) {
  test(`calicoctl ${line} is a command of the ${family} releases`, () => {
    const [etcd, words] = line.startsWith("ETCD ") ? [true, line.slice(5)] : [false, line];
    const picked = pickCommand(words.split(" "), { etcd });
    expect(picked).toMatchObject({ kind: "command", entry: { family }, args: args === "" ? [] : args.split(" ") });
  });
}

test("words that are no former ones stay as they are", () => {
  for (const line of ["profile show", "node show", "pool add 10.0.0.0/16 --ipip", "ipv4", "bgp peer show --ipv4"]) {
    expect(presentWords(line.split(" "))).toEqual(line.split(" "));
  }
});

const mistyped: readonly [line: string, nearest: string | undefined][] = [
  ["profil show", "profile"],
  ["porfile show", "profile"],
  ["stauts", "status"],
  ["conainer add x 1.1.1.1", "container"],
  ["addgrup web", "addgroup"],
  ["xyzzy", undefined],
  ["constructor", undefined],
  ["toString", undefined],
];
for (const [line, nearest] of mistyped) {
  test(`mistyped: calicoctl ${line}`, () => {
    expect(pickCommand(line.split(" "), { etcd: false })).toMatchObject({ kind: "unknown", nearest });
  });
}

test("help for words of several families is that of each", async () => {
  const picked = pickCommand(["node", "--help"], { etcd: false });
  expect(picked.kind === "help" && picked.entries.map(({ family }) => family)).toEqual(["seed", "classic"]);
  expect(pickCommand(["--", "--help"], { etcd: false }).kind).toBe("unknown");
});
