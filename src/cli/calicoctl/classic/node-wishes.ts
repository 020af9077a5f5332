/** What `calicoctl node` is asked for: its options, checked (calicoctl.md 3.8). */

import { type IpAddress, ipFamily, tryParseIpAddress } from "../../../base/addresses.ts";
import { type CalicoctlContext, CommandFailure } from "../command.ts";
import { checkAsNumber } from "./bgp-peers.ts";
import type { Typed } from "./usage-forms.ts";

export interface NodeWishes {
  readonly ip: IpAddress | undefined;
  readonly ip6: IpAddress | undefined;
  readonly asNumber: number | undefined;
  readonly logDir: string | undefined;
  readonly image: string | undefined;
  readonly pull: boolean;
  readonly libnetwork: boolean;
  /** undefined: nobody named one. */
  readonly backend: string | undefined;
}

/** @throws CommandFailure */
export function readWishes({ io }: CalicoctlContext, typed: Typed): NodeWishes {
  const fail = (problem: string) => new CommandFailure("stdout", `${problem}\n`);
  const address = (option: "--ip" | "--ip6", family: 4 | 6) => {
    const text = typed.option(option);
    if (text === undefined || text === "") return undefined;
    const parsed = tryParseIpAddress(text);
    if (parsed === undefined || ipFamily(parsed) !== family) {
      throw fail(`Invalid IPv${family} address specified with ${option} argument.`);
    }
    return parsed;
  };
  const [ip, ip6] = [address("--ip", 4), address("--ip6", 6)];
  const asText = typed.option("--as");
  const asNumber = asText === undefined || asText === "" ? undefined : checkAsNumber(asText);
  const detach = typed.option("--detach") ?? "true";
  if (detach !== "true" && detach !== "false") throw fail("Valid values for --detach are 'true' and 'false'");
  const libnetwork = typed.has("--libnetwork");
  if (libnetwork && detach === "false") {
    throw fail("The only valid value for --detach is 'true' when using libnetwork");
  }
  const runtime = typed.option("--runtime") ?? "docker";
  if (!["docker", "rkt", "none"].includes(runtime)) throw fail("Runtime must be 'docker', 'rkt' or 'none'.");
  if (runtime === "rkt")
    throw fail("rkt is no longer made; without --runtime the node runs as a service of this host.");
  if (io.env.CALICO_NETWORKING !== undefined) {
    io.stderr("WARNING: CALICO_NETWORKING will be deprecated: use '--backend' instead\n");
  }
  const backend = typed.option("--backend") ?? (io.env.CALICO_NETWORKING === "false" ? "none" : undefined);
  if (backend !== undefined && !["bird", "gobgp", "none"].includes(backend))
    throw fail(`Invalid backend specified: '${backend}'`);
  return {
    ip,
    ip6,
    asNumber,
    logDir: typed.option("--log-dir"),
    image: typed.option("--node-image"),
    pull: !typed.has("--no-pull"),
    libnetwork,
    backend,
  };
}
