/**
 * `calicoctl master --ip=IP` (calicoctl.md 1.2). What the first release's master did, every node does by itself now; what
 * is left to start is the store, where none is there yet, and the note which host it is on.
 */

import { mkdirSync } from "node:fs";
import { type IpAddress, ipFamily, tryParseIpAddress } from "../../../base/addresses.ts";
import { describeError, OperationError } from "../../../base/errors.ts";
import { decodeClusterInformation } from "../../../model/cluster-information.ts";
import { clusterInformationKey } from "../../../model/keys.ts";
import { serviceReady, startService } from "../../services/local-services.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { storeToWrite } from "../classic/classic-store.ts";
import { dockerFailure } from "../classic/container-lookup.ts";
import { nodeInContainer } from "../classic/node-state.ts";
import { commandOfForms, type Typed } from "../classic/usage-forms.ts";
import { type CalicoctlContext, type Command, CommandFailure, UsageError } from "../command.ts";
import { requireRootAsSeed } from "./seed-root.ts";

const masterUsage = `Usage:
  calicoctl master --ip=<IP> [--etcd=<HOST:PORT>] [--master-image=<IMAGE>]
`;

export const masterHelp = `Makes this host the one the others are told of, and starts the embedded store on it unless there is a store.

${masterUsage}
With --etcd that store is used and has to be there. With neither --etcd nor a store that answers where the settings say,
Margay's own store is started as a service of this host, on 127.0.0.1 and on IP, with its log in /var/log/margay.
It is open to everybody who can reach it. Needs root.

Options:
  --ip=<IP>                this host's address, as other hosts reach it
  --master-image=<IMAGE>   also start a container of this image, named calico-master

Examples:
  calicoctl master --ip=10.0.0.10
  calicoctl master --ip=10.0.0.10 --etcd=10.0.0.10:4001
`;

export const masterKey = "/calico/master/ip";
const masterContainer = "calico-master";
const logDir = "/var/log/calico";
const readyWithinMs = 15_000;

export const master: Command = commandOfForms(masterUsage, [
  { words: "", options: ["--ip=", "--master-image="], run: startMaster },
]);

async function startMaster(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const address = addressOption(typed, masterUsage);
  requireRootAsSeed(context);
  await ensureStore(context, address);
  const store = await storeToWrite(context);
  await store.put(masterKey, address);
  const image = typed.option("--master-image");
  const kv = await store.get(clusterInformationKey);
  const cluster = kv === undefined ? "" : (decodeClusterInformation(kv.value).spec.clusterGUID ?? "");
  const id = image === undefined ? cluster : await startMasterContainer(context, image);
  io.stdout(`Calico master is running with id: ${id}\n`);
  return 0;
}

/** @throws CommandFailure, UsageError */
export function addressOption(typed: Typed, usage: string): IpAddress {
  const text = typed.option("--ip");
  if (text === undefined) throw new UsageError(usage);
  const address = tryParseIpAddress(text);
  if (address === undefined || ipFamily(address) !== 4) {
    throw new CommandFailure("stdout", "Invalid IPv4 address specified with --ip argument.\n");
  }
  return address;
}

/** A store that answers is used; one that should be on this host and is not there is started. */
async function ensureStore(context: CalicoctlContext, address: IpAddress): Promise<void> {
  const { endpoints, from } = await context.storePlace();
  if (await storeAnswers(endpoints)) return;
  const own = endpoints
    .map((endpoint) => new URL(endpoint))
    .find(({ hostname }) => ["127.0.0.1", "localhost", "[::1]", address].includes(hostname));
  if (from === "flag" || own === undefined) return; // its absence is said by whoever asks it next
  const { io, clock } = context;
  const port = own.port === "" ? "80" : own.port;
  const listen = [...new Set([`http://127.0.0.1:${port}`, `http://${address}:${port}`])];
  const service = {
    name: "store",
    words: ["store", `--listen=${listen.join(",")}`],
    places: servicePlaces(io.env),
    env: io.env,
    clock,
  } as const;
  try {
    await startService(service);
    await serviceReady(service, readyWithinMs, () => storeAnswers(listen));
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw new CommandFailure("stdout", `${describeError(error)}\n${error.remedy ?? ""}\n`);
  }
  io.stderr(`The store listens on ${listen.join(" and ")}; everybody who can reach it can read and write it.\n`);
}

/** Also a store that is slow answers this at once; both kinds have it. */
async function storeAnswers(endpoints: readonly string[]): Promise<boolean> {
  for (const endpoint of endpoints) {
    try {
      if ((await fetch(`${endpoint}/version`, { signal: AbortSignal.timeout(2_000) })).ok) return true;
    } catch {
      // the next one may answer
    }
  }
  return false;
}

async function startMasterContainer(context: CalicoctlContext, image: string): Promise<string> {
  const { fetchImage } = await import("../classic/node-container.ts");
  const docker = await context.host.docker();
  const authority = ((await context.storePlace()).endpoints[0] ?? "").replace(/^\w+:\/\//, "");
  try {
    await fetchImage(context, image, true);
    mkdirSync(logDir, { recursive: true });
    const old = await nodeInContainer(context, masterContainer);
    if (old !== undefined) await docker.containers.remove(old.Id, { force: true });
    const config = {
      Image: image,
      Env: [`ETCD_AUTHORITY=${authority}`],
      HostConfig: { NetworkMode: "host", Privileged: true, Binds: [`${logDir}:${logDir}`] },
    };
    const { Id } = await docker.containers.create(config, { name: masterContainer });
    await docker.containers.start(Id);
    return Id;
  } catch (error) {
    if (error instanceof OperationError) throw dockerFailure(context, error, `${error.message}\n`);
    throw error;
  }
}
