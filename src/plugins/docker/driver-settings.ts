/**
 * What a user may set about the Docker plug-in, under the names calico/node's plug-in had (reference/docker.md 4.6).
 * A value that cannot be right stops the start with a clear error; only the poll time-out falls back, as it always did.
 */
import { BadInput } from "../../base/errors.ts";
import { parseGoDuration } from "../../base/go-duration.ts";
import { parseMtu } from "./network-options.ts";

const LABEL_WAIT_DEFAULT_MS = 5_000;

export interface DriverSettings {
  readonly scope: "local" | "global";
  readonly createProfiles: boolean;
  readonly labelEndpoints: boolean;
  /** How long the container of a new endpoint is looked for, to take its labels over. */
  readonly labelWaitMs: number;
  /** undefined: the kernel's default. */
  readonly vethMtu: number | undefined;
  /** Name of the interface inside the container, without its number. */
  readonly interfacePrefix: string;
}

export function readDriverSettings(env: Readonly<Record<string, string | undefined>>): DriverSettings {
  return {
    scope: readScope(env.MARGAY_DOCKER_SCOPE),
    createProfiles: (env.CALICO_LIBNETWORK_CREATE_PROFILES ?? "").toLowerCase() !== "false",
    labelEndpoints: (env.CALICO_LIBNETWORK_LABEL_ENDPOINTS ?? "").toLowerCase() === "true",
    labelWaitMs: positive(parseGoDuration(env.CALICO_LIBNETWORK_LABEL_POLL_TIMEOUT)) ?? LABEL_WAIT_DEFAULT_MS,
    vethMtu: readMtu(env.CALICO_LIBNETWORK_VETH_MTU),
    interfacePrefix: readPrefix(env.CALICO_LIBNETWORK_IFPREFIX),
  };
}

function readScope(text: string | undefined): "local" | "global" {
  if (text === undefined || text === "" || text === "local") return "local";
  if (text === "global") return "global";
  throw new BadInput("MARGAY_DOCKER_SCOPE", `"${text}" is no scope`, "local or global");
}

function readMtu(text: string | undefined): number | undefined {
  return text === undefined || text === "" ? undefined : parseMtu(text, "CALICO_LIBNETWORK_VETH_MTU");
}

/** Docker appends a number; an interface name has at most 15 characters. */
function readPrefix(text: string | undefined): string {
  if (text === undefined || text === "") return "cali";
  if (/^[A-Za-z][A-Za-z0-9_.-]{0,11}$/.test(text)) return text;
  throw new BadInput(
    "CALICO_LIBNETWORK_IFPREFIX",
    `"${text}" cannot begin an interface name`,
    "1 to 12 characters, a letter first",
  );
}

function positive(ms: number | undefined): number | undefined {
  return ms !== undefined && ms > 0 ? ms : undefined;
}
