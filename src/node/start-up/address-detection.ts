/**
 * Which of its addresses a host is reached by, found out as calico/node does (felix-dataplane.md 6.2). Pure but for what is
 * handed in: the host's interfaces, and the way to somebody.
 */
import {
  type Cidr,
  cidrContains,
  type IpAddress,
  ipFamily,
  parseCidr,
  tryParseIpAddress,
} from "../../base/addresses.ts";
import { BadInput, OperationError, unreachable } from "../../base/errors.ts";
import type { HostInterface } from "../../kernel/host-interfaces.ts";

/** With the prefix length of its interface, host bits kept. */
export interface HostAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

export type DetectionMethod =
  | { readonly kind: "first-found" }
  | { readonly kind: "interface"; readonly patterns: readonly RegExp[] }
  | { readonly kind: "skip-interface"; readonly patterns: readonly RegExp[] }
  | { readonly kind: "can-reach"; readonly destination: string }
  | { readonly kind: "cidr"; readonly cidrs: readonly Cidr[] };

/** What detection looks at. */
export interface HostSurroundings {
  readonly interfaces: () => readonly HostInterface[];
  /** Addresses of a name. */
  readonly resolve: (name: string, family: 4 | 6) => Promise<readonly IpAddress[]>;
  readonly sourceAddressFor: (destination: IpAddress) => IpAddress | undefined;
}

/** Interfaces that programs make for themselves: their addresses are of no use to other hosts. */
const excluded = [
  ...["docker.*", "cbr.*", "dummy.*", "podman.*", "virbr.*", "lxcbr.*", "veth.*", "lo", "br-.*", "cali.*", "tunl.*"],
  ...["flannel.*", "kube-ipvs.*", "cni.*", "vxlan\\.calico.*", "vxlan-v6\\.calico.*", "wireguard\\.cali.*"],
  ...["wg-v6\\.cali.*", "nodelocaldns.*"],
].map((pattern) => new RegExp(`^${pattern}`));

const methods = "first-found, interface=REGEX,..., skip-interface=REGEX,..., can-reach=ADDRESS, cidr=CIDR,...";

/** @throws BadInput naming the variable or option it came by. */
export function parseDetectionMethod(text: string, path: string): DetectionMethod {
  const [word, value] = splitOnce(text.trim());
  if (text === "" || text === "first-found") return { kind: "first-found" };
  if (text === "kubernetes-internal-ip") {
    throw new BadInput(path, "kubernetes-internal-ip asks a Kubernetes node object, and there is none here", methods);
  }
  if (value === undefined || value === "") throw new BadInput(path, `"${text}" is no detection method`, methods);
  const parts = value.split(",").map((part) => part.trim());
  switch (word) {
    case "interface":
    case "skip-interface":
      return { kind: word, patterns: parts.map((part) => pattern(part, path)) };
    case "can-reach":
      return { kind: word, destination: value };
    case "cidr":
      return { kind: word, cidrs: parts.map((part) => parseCidr(part, path)) };
    default:
      throw new BadInput(path, `"${text}" is no detection method`, methods);
  }
}

/** @throws OperationError that says what was looked at when there is none. */
export async function detectAddress(
  method: DetectionMethod,
  family: 4 | 6,
  host: HostSurroundings,
): Promise<HostAddress> {
  const interfaces = host.interfaces();
  const found = await find(method, family, interfaces, host);
  if (found !== undefined) return { address: found.address, prefixLength: found.prefixLength };
  const seen = interfaces.map(({ name, addresses }) => {
    const own = addresses.filter(({ address }) => ipFamily(address) === family).map(({ address }) => address);
    return `${name} (${own.length === 0 ? "none" : own.join(", ")})`;
  });
  throw new OperationError(
    "NODE_NO_ADDRESS",
    `no IPv${family} address of this host fits ${methodText(method)}; its interfaces have: ${seen.join(", ")}`,
    { remedy: family === 4 ? "give it with --ip" : "give it with --ip6", retry: "after-change" },
  );
}

export function methodText(method: DetectionMethod): string {
  switch (method.kind) {
    case "first-found":
      return method.kind;
    case "interface":
    case "skip-interface":
      return `${method.kind}=${method.patterns.map(({ source }) => source).join(",")}`;
    case "can-reach":
      return `${method.kind}=${method.destination}`;
    case "cidr":
      return `${method.kind}=${method.cidrs.join(",")}`;
    default:
      return unreachable(method);
  }
}

/** The address with the prefix length of the interface that has it; alone (/32, /128) when none has. */
export function withPrefixLength(address: IpAddress, interfaces: readonly HostInterface[]): HostAddress {
  const held = interfaces.flatMap(({ addresses }) => addresses).find((candidate) => candidate.address === address);
  return { address, prefixLength: held?.prefixLength ?? (ipFamily(address) === 4 ? 32 : 128) };
}

/** Interfaces and addresses other hosts may be told of. */
export function presentableInterfaces(interfaces: readonly HostInterface[]): readonly HostInterface[] {
  return interfaces
    .filter(({ name }) => !excluded.some((pattern) => pattern.test(name)))
    .map((one) => ({ ...one, addresses: one.addresses.filter(({ address }) => isGlobalUnicast(address)) }))
    .filter(({ addresses }) => addresses.length > 0);
}

async function find(
  method: DetectionMethod,
  family: 4 | 6,
  interfaces: readonly HostInterface[],
  host: HostSurroundings,
): Promise<HostAddress | undefined> {
  const among = (accepts: (name: string) => boolean, within?: readonly Cidr[]) =>
    newestFirst(interfaces, family).find(
      ({ name, address }) =>
        accepts(name) && (within === undefined || within.some((cidr) => cidrContains(cidr, address))),
    );
  const isExcluded = (name: string) => excluded.some((pattern) => pattern.test(name));
  switch (method.kind) {
    case "first-found":
      return among((name) => !isExcluded(name));
    case "skip-interface":
      return among((name) => !isExcluded(name) && !method.patterns.some((pattern) => pattern.test(name)));
    case "interface":
      for (const pattern of method.patterns) {
        const found = among((name) => pattern.test(name));
        if (found !== undefined) return found;
      }
      return undefined;
    case "cidr":
      return among(() => true, method.cidrs);
    case "can-reach": {
      const literal = tryParseIpAddress(method.destination);
      const destinations = literal === undefined ? await host.resolve(method.destination, family) : [literal];
      for (const destination of destinations) {
        if (ipFamily(destination) !== family) continue;
        const source = host.sourceAddressFor(destination);
        if (source !== undefined) return withPrefixLength(source, interfaces);
      }
      return undefined;
    }
    default:
      return unreachable(method);
  }
}

function newestFirst(
  interfaces: readonly HostInterface[],
  family: 4 | 6,
): readonly (HostAddress & { readonly name: string })[] {
  return interfaces
    .toReversed()
    .flatMap(({ name, addresses }) =>
      addresses
        .filter(({ address }) => ipFamily(address) === family && isGlobalUnicast(address))
        .map(({ address, prefixLength }) => ({ name, address, prefixLength })),
    );
}

const notGlobal = ["0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"]
  .concat(["::/128", "::1/128", "fe80::/10", "ff00::/8"])
  .map((cidr) => parseCidr(cidr));

/** Private ranges are global in this sense, as in Go's net package. */
function isGlobalUnicast(address: IpAddress): boolean {
  return !notGlobal.some((cidr) => cidrContains(cidr, address));
}

function pattern(text: string, path: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new BadInput(path, `"${text}" is no regular expression`, "for example eth.*");
  }
}

function splitOnce(text: string): readonly [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
