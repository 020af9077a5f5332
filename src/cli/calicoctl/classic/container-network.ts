/** `calicoctl container add|remove` and `container C ip add|remove`: what is asked of the node, and its answers in words. */

import { cidrContains, tryParseCidr, tryParseIpAddress } from "../../../base/addresses.ts";
import { parseInterfaceName } from "../../../base/names.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import {
  type AttachRequest,
  addAddressPath,
  attachPath,
  detachPath,
  removeAddressPath,
} from "../../../plugins/workloads/workload-requests.ts";
import { type CalicoctlContext, CommandFailure, paragraph } from "../command.ts";
import type { NodeAnswer } from "../node-client.ts";
import { type LocalContainer, lookUpContainer, namespaceId } from "./container-lookup.ts";
import { listEndpoints } from "./endpoint-access.ts";
import { checkAddress } from "./ipam.ts";
import { requireRoot } from "./root.ts";
import type { Typed } from "./usage-forms.ts";

const defaultInterface = "eth1";
const needsRoot = "It changes the network of a container.";

type Wanted = Readonly<AttachRequest["wanted"]>;

export async function addContainer(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io, host } = context;
  const wanted = wantedAddress(typed.word("IP"));
  const interfaceName = interfaceOf(typed);
  requireRoot(context, needsRoot);
  const name = typed.word("CONTAINER");
  const found = await lookUpContainer(context, name);
  if (!found.running) throw new CommandFailure("stdout", paragraph(`${name} is not currently running.`));
  if (found.hasHostNetwork) throw hostNetwork(name);
  await checkPools(context, wanted);
  const answer = await host.askNode(attachPath, { ...place(found, interfaceName), wanted });
  if (!answer.ok) throw await refusal(context, answer, name, wanted);
  io.stdout(paragraph(`IP ${String(answer.document.address)} added to ${name}`));
  return 0;
}

export async function removeContainer(context: CalicoctlContext, typed: Typed): Promise<number> {
  requireRoot(context, needsRoot);
  const { io, host } = context;
  const name = typed.word("CONTAINER");
  const { orchestrator, workload } = await removable(context, name);
  const answer = await host.askNode(detachPath, { orchestrator, workload });
  if (!answer.ok) throw await refusal(context, answer, name);
  const removed = Number(answer.document.removed) > 0;
  io.stdout(removed ? `Removed Calico from ${name}\n` : `Failed find Calico data for ${name}\n`);
  return 0;
}

/** A container that Docker has forgotten is known by its id in the datastore; then Docker is not asked. */
async function removable(
  context: CalicoctlContext,
  name: string,
): Promise<Pick<LocalContainer, "orchestrator" | "workload">> {
  const stored = await listEndpoints(await context.store(), { host: context.host.name });
  for (const orchestrator of ["docker", "namespace"] as const) {
    const workload = orchestrator === "namespace" ? namespaceId(name) : name;
    if (stored.some((one) => one.orchestrator === orchestrator && one.workload === workload)) {
      return { orchestrator, workload };
    }
  }
  return await lookUpContainer(context, name);
}

export async function addIp(context: CalicoctlContext, typed: Typed): Promise<number> {
  return await changeIp(context, typed, "add");
}

export async function removeIp(context: CalicoctlContext, typed: Typed): Promise<number> {
  return await changeIp(context, typed, "remove");
}

async function changeIp(context: CalicoctlContext, typed: Typed, change: "add" | "remove"): Promise<number> {
  const { io, host } = context;
  const address = checkAddress(typed.word("IP"));
  const interfaceName = interfaceOf(typed);
  requireRoot(context, needsRoot);
  const name = typed.word("CONTAINER");
  const found = await lookUpContainer(context, name);
  if (!found.running) throw new CommandFailure("stdout", `${name} is not currently running.\n`);
  if (change === "add") await checkPools(context, { address });
  const answer = await host.askNode(change === "add" ? addAddressPath : removeAddressPath, {
    ...place(found, interfaceName),
    address,
  });
  if (!answer.ok) {
    if (answer.code === "WORKLOAD_UNKNOWN") throw unknownContainer(name, change);
    throw await refusal(context, answer, name, { address });
  }
  io.stdout(`IP ${address} ${change === "add" ? "added to" : "removed from"} ${name}\n`);
  return 0;
}

function place({ orchestrator, workload, namespacePath }: LocalContainer, interfaceName: string) {
  return { orchestrator, workload, namespacePath, interfaceName };
}

function interfaceOf(typed: Typed): string {
  return parseInterfaceName(typed.option("--interface") ?? defaultInterface, "--interface");
}

function wantedAddress(text: string): Wanted {
  const word = text.toLowerCase();
  if (word === "ipv4" || word === "ipv6") return { family: word === "ipv4" ? 4 : 6 };
  const address = tryParseIpAddress(text);
  if (address !== undefined) return { address };
  const pool = text.includes("/") ? tryParseCidr(text) : undefined;
  if (pool !== undefined) return { pool };
  const problem = "Invalid IP address specified.  Argument must be a valid IP or CIDR.";
  throw new CommandFailure("stdout", paragraph(problem));
}

/** What the node would refuse too, said with the words for it. */
async function checkPools(context: CalicoctlContext, wanted: Wanted): Promise<void> {
  if ("family" in wanted) return;
  const pools = await new Ipam({ store: await context.store(), clock: context.clock }).pools();
  if ("pool" in wanted && !pools.some(({ cidr }) => cidr === wanted.pool)) throw noPool(wanted.pool);
  if ("address" in wanted) {
    const address = checkAddress(wanted.address);
    if (!pools.some(({ cidr }) => cidrContains(cidr, address))) throw outsidePools(address);
  }
}

async function refusal(
  context: CalicoctlContext,
  { code, message }: Extract<NodeAnswer, { ok: false }>,
  name: string,
  wanted?: Wanted,
): Promise<CommandFailure> {
  const say = (text: string) => new CommandFailure("stdout", text);
  switch (code) {
    case "WORKLOAD_ATTACHED":
      return say(paragraph(`${name} has already been configured with Calico Networking.`));
    case "WORKLOAD_HOST_NETWORK":
      return hostNetwork(name);
    case "WORKLOAD_INTERFACE_UNKNOWN":
      return say("Interface provided does not exist in container. Aborting.\n");
    case "WORKLOAD_ADDRESS_UNKNOWN":
      return say("IP address is not assigned to container. Aborting.\n");
    case "IPAM_ADDRESS_OUTSIDE_POOLS":
      return outsidePools(wanted !== undefined && "address" in wanted ? wanted.address : "The address");
    case "IPAM_POOL_UNKNOWN":
      return noPool(wanted !== undefined && "pool" in wanted ? wanted.pool : "it");
    case "IPAM_ADDRESS_IN_USE":
      return say(paragraph(`IP address is already assigned in pool ${await poolOfAddress(context, wanted)}.`));
    case "IPAM_POOL_EXHAUSTED":
    case "IPAM_BLOCK_LIMIT":
    case "IPAM_NO_POOL":
      return new CommandFailure("stderr", exhausted(wanted));
    default:
      return say(`Error updating networking in container: ${message}\n`);
  }
}

function exhausted(wanted: Wanted | undefined): string {
  const ofPool = wanted !== undefined && "pool" in wanted && wanted.pool.includes(":");
  const ofFamily = wanted !== undefined && "family" in wanted && wanted.family === 6;
  const [four, six] = ofPool || ofFamily ? [0, 1] : [1, 0];
  return `Failed to allocate any IPs (requested ${four} IPv4s and ${six} IPv6s). Pools are likely exhausted.\n`;
}

async function poolOfAddress({ store, clock }: CalicoctlContext, wanted: Wanted | undefined): Promise<string> {
  const address = wanted !== undefined && "address" in wanted ? checkAddress(wanted.address) : undefined;
  const pools = await new Ipam({ store: await store(), clock }).pools();
  return pools.find(({ cidr }) => address !== undefined && cidrContains(cidr, address))?.cidr ?? "unknown";
}

function outsidePools(address: string): CommandFailure {
  return new CommandFailure("stdout", `${address} is not in any configured pools\n`);
}

function noPool(cidr: string): CommandFailure {
  const problem = `Invalid CIDR specified for desired pool. No pool found for ${cidr}.`;
  return new CommandFailure("stdout", paragraph(problem));
}

function hostNetwork(name: string): CommandFailure {
  const problem = `Can't add ${name} to Calico because it is running NetworkMode = host.`;
  return new CommandFailure("stdout", paragraph(problem));
}

function unknownContainer(name: string, change: "add" | "remove"): CommandFailure {
  if (change === "remove") return new CommandFailure("stdout", "Container is unknown to Calico.\n");
  const hint = "Use `calicoctl container add` to add the container to the Calico network.";
  const problem = paragraph(`Container ${name} is unknown to Calico.`) + paragraph(hint);
  return new CommandFailure("stdout", `Failed to add IP address to container.\n\n${problem}`);
}
