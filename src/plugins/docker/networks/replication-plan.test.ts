/** What each meeting of Docker's networks, the store's records and this host's memory leads to. */

import { expect, test } from "bun:test";
import { type KnownNetwork, type LocalNetwork, planReplication, type RecordedNetwork } from "./replication-plan.ts";

const shape = {
  driver: "calico",
  ipamDriver: "calico",
  ipamOptions: {},
  subnets: [],
  options: {},
  enableIpv6: false,
  internal: false,
  attachable: false,
};

/** "id=name", with "<uid" when it is a copy and "/subnet" for another shape. */
function local(text: string): LocalNetwork {
  const [, id = "", name = "", copyOf, subnet] = /^(\w+)=(\w+)(?:<(\w+))?(?:\/(\w+))?$/.exec(text) ?? [];
  return { ...shape, id, name, labels: {}, copyOf, subnets: subnet === undefined ? [] : [subnet] };
}

function recorded(text: string): RecordedNetwork {
  const [, name = "", uid = "", subnet] = /^(\w+):(\w+)(?:\/(\w+))?$/.exec(text) ?? [];
  return { ...shape, name, uid, labels: {}, subnets: subnet === undefined ? [] : [subnet] };
}

/** "id=name:uid" and "@cluster" when it is not this one. */
function known(text: string): KnownNetwork {
  const [, id = "", name = "", uid = "", cluster = "here"] = /^(\w+)=(\w+):(\w+)(?:@(\w+))?$/.exec(text) ?? [];
  return { id, name, uid, cluster };
}

const words = (text: string) => text.split(" ").filter((word) => word !== "");

function check(localText: string, recordedText: string, knownText: string): string {
  const steps = planReplication({
    cluster: "here",
    local: words(localText).map(local),
    recorded: new Map(words(recordedText).map((word) => [recorded(word).name, recorded(word)])),
    known: words(knownText).map(known),
  });
  return steps
    .map((step) => {
      if (step.kind === "forget") return `forget ${step.id}`;
      return `${step.kind} ${step.network.name}`;
    })
    .join(", ");
}

const cases: readonly [name: string, local: string, recorded: string, known: string, steps: string][] = [
  ["a network created here is told to the others", "a1=net", "", "", "record net"],
  ["a network of the store is created here", "", "net:u1", "", "create-here net"],
  ["once both agree it is remembered", "a1=net<u1", "net:u1", "", "remember net"],
  ["agreement is quiet", "a1=net", "net:u1", "a1=net:u1", ""],
  ["removed here by a user: the record goes", "", "net:u1", "a1=net:u1", "remove-record net"],
  ["removed elsewhere, also while this host was away", "a1=net", "", "a1=net:u1", "remove-here net"],
  ["a copy whose record is gone, memory lost", "a1=net<u1", "", "", "remove-here net"],
  ["an emptied store removes nothing", "a1=net b1=two<u2", "", "a1=net:u1@old b1=two:u2@old", "record net, record two"],
  ["removed and created again elsewhere, alike: kept", "a1=net<u1", "net:u2", "a1=net:u1", "remember net"],
  ["removed and created again elsewhere, otherwise: replaced", "a1=net<u1", "net:u2/s", "a1=net:u1", "remove-here net"],
  ["removed and created again here: the old record goes first", "a2=net/s", "net:u1", "a1=net:u1", "remove-record net"],
  ["and then the new one is recorded", "a2=net/s", "", "", "record net"],
  ["two users make the same network on two hosts", "a1=net", "net:u1", "", "remember net"],
  ["two users make different networks of one name", "a1=net/s", "net:u1", "", "conflict net"],
  ["removed here and elsewhere at once", "", "", "a1=net:u1", "forget a1"],
  ["removed here, and already somebody's new one", "", "net:u2", "a1=net:u1", "forget a1, create-here net"],
  ["a name taken twice by an old daemon counts once", "a1=net a2=net", "", "", "record net"],
];
for (const [name, localText, recordedText, knownText, steps] of cases) {
  test(name, () => expect(check(localText, recordedText, knownText)).toBe(steps));
}
