/** What the endpoint records of one container say of each other. */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { gatewayAddressesOf, siblingAddressesOf } from "../../../model/sibling-addresses.ts";
import { newWorkloadEndpoint, type WorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import { endpointsBySandbox, hasSiblings, related } from "./container-siblings.ts";
import { NETWORK_ANNOTATION, NETWORK_ID_ANNOTATION } from "./endpoint-names.ts";

function record(network: string, address: string, profiles: readonly string[] = [network]): WorkloadEndpoint {
  const made = newWorkloadEndpoint(
    {
      namespace: "libnetwork",
      node: "host1",
      orchestrator: "libnetwork",
      workload: "libnetwork",
      endpoint: `ep${network.replace(/[^a-z]/g, "")}`,
      interfaceName: "cali1",
      addresses: [parseIpAddress(address)],
      profiles,
    },
    { uid: "1", nowMs: 0 },
  );
  return { ...made, metadata: { ...made.metadata, annotations: { [NETWORK_ANNOTATION]: network } } };
}

const relate = (
  records: readonly WorkloadEndpoint[],
  options = { withProfiles: true },
  gateways: readonly number[] = [],
) =>
  related(
    records.map((record, at) => ({ record, isGateway: gateways.includes(at) })),
    options,
  );
const facts = ({ metadata, spec }: WorkloadEndpoint) => [
  spec.profiles,
  siblingAddressesOf(metadata.annotations) as readonly string[],
];
const a = record("a-net", "10.0.0.1");
const z = record("z-net", "10.0.0.2");

test("all of them have the profiles of all networks, their own first, and name each other's addresses", () => {
  const third = record("m-net", "2001:db8::3");
  expect(relate([z, a, third]).map(facts)).toEqual([
    [
      ["z-net", "a-net", "m-net"],
      ["10.0.0.1", "2001:db8::3"],
    ],
    [
      ["a-net", "m-net", "z-net"],
      ["10.0.0.2", "2001:db8::3"],
    ],
    [
      ["m-net", "a-net", "z-net"],
      ["10.0.0.1", "10.0.0.2"],
    ],
  ]);
});

test("relating twice changes nothing, and one that is left alone is as it was made", () => {
  const once = relate([a, z]);
  expect(relate(once)).toEqual(once);
  expect(once.map(hasSiblings)).toEqual([true, true]);
  expect(once.flatMap((one) => relate([one]))).toEqual([a, z]);
});

test("profiles that a user has put on a record stay, also one that is a sibling's too", () => {
  const edited = record("a-net", "10.0.0.1", ["a-net", "mine", "z-net"]);
  const [first, second] = relate([edited, z]);
  expect(first?.spec.profiles).toEqual(["a-net", "mine", "z-net"]);
  expect(second?.spec.profiles).toEqual(["z-net", "a-net"]);
  expect(relate([first as WorkloadEndpoint])[0]?.spec.profiles).toEqual(["a-net", "mine", "z-net"]);
});

test("a network whose name is not known yet adds no profile, and is closed by its own", () => {
  const unknown = record("u-net", "10.0.0.3", ["unresolved"]);
  unknown.metadata.annotations = { [NETWORK_ID_ANNOTATION]: "id" };
  expect(relate([a, unknown]).map(facts)).toEqual([
    [["a-net"], ["10.0.0.3"]],
    [["unresolved", "a-net"], ["10.0.0.1"]],
  ]);
});

test("the others name the addresses of the one that the container sends by, if that is one", () => {
  const both = { withProfiles: true };
  const named = (gateways: readonly number[]) =>
    relate([a, z], both, gateways).map(({ metadata }) => gatewayAddressesOf(metadata.annotations) as readonly string[]);
  expect(named([])).toEqual([[], []]);
  expect(named([0])).toEqual([[], ["10.0.0.1"]]);
  expect(named([1])).toEqual([["10.0.0.2"], []]);
  expect(named([0, 1])).toEqual([[], []]);
});

test("without profiles only the addresses are told", () => {
  const bare = [record("a-net", "10.0.0.1", []), record("z-net", "10.0.0.2", [])];
  expect(relate(bare, { withProfiles: false }).map(facts)).toEqual([
    [[], ["10.0.0.2"]],
    [[], ["10.0.0.1"]],
  ]);
});

test("a container's endpoints are those with an interface in its sandbox", () => {
  const state = (sandboxKey: string, isGateway = false) => ({
    networkId: "n",
    hostInterface: "cali1",
    sandboxKey,
    nextHop: 1,
    isGateway,
  });
  const endpoints = new Map([
    ["e1", state("/netns/1")],
    ["e2", state("")],
    ["e3", state("/netns/1", true)],
    ["e4", state("/netns/2")],
    ["e5", state("")],
  ]);
  expect([...endpointsBySandbox(endpoints)]).toEqual([
    [
      "/netns/1",
      [
        { endpointId: "e1", isGateway: false },
        { endpointId: "e3", isGateway: true },
      ],
    ],
    ["/netns/2", [{ endpointId: "e4", isGateway: false }]],
  ]);
});
