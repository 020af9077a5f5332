/**
 * Endpoints of other hosts, read without making their documents into objects. Of them only labels, profiles and addresses
 * count here, and there may be a hundred thousand when an agent starts: JSON.parse and the checks after it were half of
 * that time. One pattern knows the text that Margay and Calico write, member by member in their order; whatever is the
 * least unusual is left to readEndpoint, which says the same of what is read here (property test).
 */

import { type Cidr, tryParseHostCidr } from "../base/addresses.ts";
import { endpointLabels } from "./endpoint-labels.ts";
import type { Labelled } from "./resource-readers.ts";

const inner = String.raw`[^"\\\u0000-\u001f]`;
const text = `"${inner}*"`;
const name = `"${inner}+"`;
const list = String.raw`\[(?:${text}(?:,${text})*)?\]`;
const map = String.raw`\{(?:${text}:${text}(?:,${text}:${text})*)?\}`;

function ifAny(member: string, value: string): string {
  return `(?:,"${member}":${value})?`;
}

const usual = new RegExp(
  [
    String.raw`^\{"kind":"WorkloadEndpoint","apiVersion":"projectcalico\.org/v3","metadata":\{"name":${name}`,
    ifAny("namespace", `"(${inner}*)"`),
    ifAny("uid", text),
    ifAny("creationTimestamp", `(?:${text}|null)`),
    ifAny("labels", `(${map})`),
    ifAny("annotations", map),
    String.raw`\},"spec":\{"orchestrator":"(${inner}+)"`,
    ifAny("workload", text),
    `,"node":"(${inner}+)"`,
    ifAny("containerID", text),
    ifAny("pod", text),
    `,"endpoint":${name}`,
    ifAny("serviceAccountName", `"(${inner}*)"`),
    `,"ipNetworks":(${list})`,
    ifAny("ipv4Gateway", text),
    ifAny("ipv6Gateway", text),
    ifAny("profiles", `(${list})`),
    String.raw`,"interfaceName":"(?!\.\.?")[a-zA-Z0-9_.-]{1,15}"`,
    ifAny("mac", text),
    String.raw`\}\}$`,
  ].join(""),
);

/** They are few, but many endpoints have the same. */
const rememberedProfileLists = 1_000;

export class EndpointsElsewhere {
  readonly #host: string;
  readonly #profileLists = new Map<string, readonly string[]>();

  constructor(host: string) {
    this.#host = host;
  }

  /** Undefined: read it as a whole. */
  read(document: string): Labelled | undefined {
    const parts = usual.exec(document);
    if (parts === null) return undefined;
    const [, namespace, labelsText, orchestrator = "", node, account, networksText = "[]", profilesText] = parts;
    if (node === this.#host) return undefined;
    const labels = labelsText === undefined ? undefined : parsedMap(labelsText);
    // The schema drops a member of this one name, which JSON.parse makes a property like any other.
    if (labels !== undefined && Object.hasOwn(labels, "__proto__")) return undefined;
    const addresses = hostCidrs(parsedList(networksText));
    if (addresses === undefined) return undefined;
    const profiles = profilesText === undefined ? none : this.#profiles(profilesText);
    return {
      source: { labels: endpointLabels(labels, { namespace, orchestrator, account }), profiles },
      addresses,
      ports: none,
    };
  }

  #profiles(listText: string): readonly string[] {
    const known = this.#profileLists.get(listText);
    if (known !== undefined) return known;
    if (this.#profileLists.size >= rememberedProfileLists) this.#profileLists.clear();
    const profiles = parsedList(listText);
    this.#profileLists.set(listText, profiles);
    return profiles;
  }
}

const none: readonly never[] = [];

/** Parsed anew rather than cut out: what is cut out of a text keeps the whole text in memory. */
function parsedList(matched: string): readonly string[] {
  return JSON.parse(matched) as readonly string[];
}

function parsedMap(matched: string): Readonly<Record<string, string>> {
  return JSON.parse(matched) as Readonly<Record<string, string>>;
}

function hostCidrs(texts: readonly string[]): readonly Cidr[] | undefined {
  const cidrs: Cidr[] = [];
  for (const one of texts) {
    const cidr = tryParseHostCidr(one);
    if (cidr === undefined) return undefined;
    cidrs.push(cidr);
  }
  return cidrs.length === 0 ? undefined : cidrs;
}
