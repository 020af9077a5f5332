/**
 * `calicoctl master --ip=IP` (calicoctl.md 1.2). What the first release's master did, every node does by itself now; what
 * is left to start is the store, where none is there yet, and the note which host it is on.
 */

import { type IpAddress, ipFamily, tryParseIpAddress } from "../../../base/addresses.ts";
import { describeError, OperationError } from "../../../base/errors.ts";
import { decodeClusterInformation } from "../../../model/cluster-information.ts";
import { clusterInformationKey } from "../../../model/keys.ts";
import { serviceReady, startService, stopService } from "../../services/local-services.ts";
import { servicePlaces } from "../../services/service-record.ts";
import { storeToWrite } from "../classic/classic-store.ts";
import { dockerFailure } from "../classic/container-lookup.ts";
import { commandOfForms, type Typed } from "../classic/usage-forms.ts";
import { type CalicoctlContext, type Command, CommandFailure, UsageError } from "../command.ts";
import { fetchImage, removeContainer, startContainer, untilUp } from "../node-container.ts";
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
  --master-image=<IMAGE>   start a container of this image, named calico-master: where no store answers, an image of
                           Margay, which runs the store in the place of the service; else whatever the image runs,
                           told where the store is by ETCD_AUTHORITY

Examples:
  calicoctl master --ip=10.0.0.10
  calicoctl master --ip=10.0.0.10 --etcd=10.0.0.10:4001
  calicoctl master --ip=10.0.0.10 --master-image=margay:latest
`;

export const masterKey = "/calico/master/ip";
export const masterContainer = "calico-master";
const readyWithinMs = 15_000;

export const master: Command = commandOfForms(masterUsage, [
  { words: "", options: ["--ip=", "--master-image="], run: startMaster },
]);

async function startMaster(context: CalicoctlContext, typed: Typed): Promise<number> {
  const { io } = context;
  const address = addressOption(typed, masterUsage);
  requireRootAsSeed(context, "it starts the store of this host");
  const image = typed.option("--master-image");
  const started = image === undefined ? await ensureStore(context, address) : await runMaster(context, address, image);
  const store = await storeToWrite(context);
  await store.put(masterKey, address);
  const kv = await store.get(clusterInformationKey);
  const cluster = kv === undefined ? "" : (decodeClusterInformation(kv.value).spec.clusterGUID ?? "");
  io.stdout(`Calico master is running with id: ${started ?? cluster}\n`);
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
async function ensureStore(context: CalicoctlContext, address: IpAddress): Promise<undefined> {
  const listen = await storeMissingHere(context, address);
  if (listen === undefined) return;
  const { io, clock } = context;
  const words = ["store", `--listen=${listen.join(",")}`];
  const service = { name: "store", words, places: servicePlaces(io.env), env: io.env, clock } as const;
  try {
    await startService(service);
    await serviceReady(service, readyWithinMs, () => storeAnswers(listen));
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw new CommandFailure("stdout", `${describeError(error)}\n${error.remedy ?? ""}\n`);
  }
  sayWhoMay(context, listen);
}

/** Where it would listen; undefined: there is one, or it belongs on another host, and whoever asks it says that it is away. */
async function storeMissingHere(
  { storePlace }: CalicoctlContext,
  address: IpAddress,
): Promise<readonly string[] | undefined> {
  const { endpoints, from } = await storePlace();
  if (await storeAnswers(endpoints)) return undefined;
  const own = endpoints
    .map((endpoint) => new URL(endpoint))
    .find(({ hostname }) => ["127.0.0.1", "localhost", "[::1]", address].includes(hostname));
  if (from === "flag" || own === undefined) return undefined;
  const port = own.port === "" ? "80" : own.port;
  return [...new Set([`http://127.0.0.1:${port}`, `http://${address}:${port}`])];
}

function sayWhoMay({ io }: CalicoctlContext, listen: readonly string[]): void {
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

/**
 * The container takes the place of a former one and of the store that calicoctl has started as a service: the data is in the
 * same folder. Where no other store is, it runs Margay's; else what the image is made for. Answers its id.
 */
async function runMaster(context: CalicoctlContext, address: IpAddress, image: string): Promise<string> {
  const { io, clock, storePlace } = context;
  try {
    await fetchImage(context, image, { pull: true });
    await removeContainer(context, masterContainer);
    await stopService(servicePlaces(io.env), "store", clock);
    const listen = await storeMissingHere(context, address);
    const authority = ((await storePlace()).endpoints[0] ?? "").replace(/^\w+:\/\//, "");
    const id = await startContainer(context, masterContainer, {
      Image: image,
      Env: [`ETCD_AUTHORITY=${authority}`, `IP=${address}`],
      ...(listen === undefined ? {} : { Entrypoint: ["margay"], Cmd: ["store", `--listen=${listen.join(",")}`] }),
      HostConfig: {
        NetworkMode: "host",
        RestartPolicy: { Name: "always" },
        Binds: ["/var/log/calico:/var/log/calico", "/var/lib/margay/store:/var/lib/margay/store"],
      },
    });
    if (listen === undefined) return id;
    await untilUp(context, id, { what: "The master's container", isUp: () => storeAnswers(listen) });
    sayWhoMay(context, listen);
    return id;
  } catch (error) {
    if (error instanceof OperationError) throw dockerFailure(context, error, `${error.message}\n`);
    throw error;
  }
}
