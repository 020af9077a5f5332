/**
 * `calicoctl profile P rule json` and `rule update`: the rules of a profile as the classic releases stored them
 * (calicoctl.md 3.5.2), out and in.
 */

import { tryParseCidr } from "../../../base/addresses.ts";
import { BadInput } from "../../../base/errors.ts";
import { parseJson } from "../../../model/json.ts";
import { checkRule, type EntityRule, type Rule } from "../../../model/rule.ts";
import { type CalicoctlContext, CommandFailure } from "../command.ts";
import { ruleText, tagOfSelector } from "./classic-rule.ts";
import { changeProfile, getProfile } from "./profile-access.ts";
import { readTagNames, type TagNames } from "./tag-names.ts";

type JsonRule = Readonly<Record<string, string | number | readonly (string | number)[]>>;

export async function ruleJson({ io, store }: CalicoctlContext, name: string): Promise<number> {
  const opened = await store();
  const { profile } = await getProfile(opened, name);
  const names = await readTagNames(opened);
  const list = (rules: readonly Rule[] = []) => rules.map((rule) => jsonOf(rule, names));
  const document = { inbound_rules: list(profile.spec.ingress), outbound_rules: list(profile.spec.egress) };
  io.stdout(`${JSON.stringify(document, null, 2)}\n\n`);
  return 0;
}

export async function ruleUpdate({ io, store }: CalicoctlContext, name: string): Promise<number> {
  const document = readDocument(await io.stdin());
  const opened = await store();
  const names = await readTagNames(opened);
  const ingress = rulesOf(document.inbound_rules, "inbound_rules", names);
  const egress = rulesOf(document.outbound_rules, "outbound_rules", names);
  if (document.id !== undefined && document.id !== name) {
    throw failure(`The rules are those of profile ${String(document.id)}, not of ${name}.`);
  }
  await changeProfile(opened, name, (profile) => ({ ...profile, spec: { ...profile.spec, ingress, egress } }));
  io.stdout(`Successfully updated rules on profile ${name}\n`);
  return 0;
}

/** What the classic form has a key for. */
const keys: ReadonlySet<string> = new Set(
  ["action", "protocol", "icmp_type", "icmp_code"].concat(
    ["src", "dst"].flatMap((side) => ["tag", "selector", "ports", "net"].map((field) => `${side}_${field}`)),
  ),
);

function failure(problem: string): CommandFailure {
  return new CommandFailure("stderr", `${problem}\n`);
}

function jsonOf(rule: Rule, names: TagNames): JsonRule {
  const source = sideJson("src", rule.source, names);
  const destination = sideJson("dst", rule.destination, names);
  const { ipVersion, notProtocol, notICMP, http } = rule;
  const beyond = [ipVersion, notProtocol, notICMP?.type, http].some((field) => field !== undefined);
  if (beyond || source === undefined || destination === undefined) {
    throw new CommandFailure(
      "stdout",
      `The rule "${ruleText(rule, names)}" has no classic form; see: calicoctl get profile -o yaml\n`,
    );
  }
  return {
    action: rule.action === "Pass" ? "next-tier" : rule.action.toLowerCase(),
    ...(rule.protocol === undefined ? {} : { protocol: String(rule.protocol).toLowerCase() }),
    ...source,
    ...destination,
    ...(rule.icmp?.type === undefined ? {} : { icmp_type: rule.icmp.type }),
    ...(rule.icmp?.code === undefined ? {} : { icmp_code: rule.icmp.code }),
  };
}

/** undefined: it says something that has no classic key. */
function sideJson(prefix: "src" | "dst", side: EntityRule = {}, names: TagNames): JsonRule | undefined {
  const { selector = "", ports = [], nets = [], ...rest } = side;
  const beyond = Object.values(rest).some((value) => (Array.isArray(value) ? value.length > 0 : Boolean(value)));
  const [net, ...more] = nets;
  if (beyond || more.length > 0) return undefined;
  const tag = tagOfSelector(selector);
  return {
    ...(tag === undefined ? {} : { [`${prefix}_tag`]: names.tag(tag) }),
    ...(tag === undefined && selector !== "" ? { [`${prefix}_selector`]: selector } : {}),
    ...(ports.length === 0 ? {} : { [`${prefix}_ports`]: ports }),
    ...(net === undefined ? {} : { [`${prefix}_net`]: net }),
  };
}

function readDocument(text: string): Readonly<Record<string, unknown>> {
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (error) {
    if (error instanceof BadInput)
      throw failure(`ValueError: the standard input is no JSON document: ${error.message}`);
    throw error;
  }
  if (typeof document === "object" && document !== null && !Array.isArray(document)) return { ...document };
  throw failure("ValueError: the standard input is no object with inbound_rules and outbound_rules");
}

function rulesOf(value: unknown, path: string, names: TagNames): Rule[] {
  if (!Array.isArray(value)) throw failure(`KeyError: '${path}' is no list of rules`);
  return value.map((rule: unknown, at) => ruleOf(rule, `${path}[${at}]`, names));
}

function ruleOf(value: unknown, path: string, names: TagNames): Rule {
  const fields: Readonly<Record<string, unknown>> = typeof value === "object" && value !== null ? { ...value } : {};
  const unknown = Object.keys(fields).find((key) => !keys.has(key));
  if (unknown !== undefined) throw failure(`KeyError: 'Key ${unknown} is not allowed on Rule.' (${path})`);
  const action = actions[String(fields.action)];
  if (action === undefined) throw failure(`${path}.action: allow, deny or next-tier expected`);
  const icmp = numbersOf(fields, path);
  const source = sideOf("src", fields, path, names);
  const destination = sideOf("dst", fields, path, names);
  const { protocol } = fields;
  const rule: Rule = {
    action,
    ...(protocol === undefined ? {} : { protocol: protocol === "icmpv6" ? "ICMPv6" : String(protocol).toUpperCase() }),
    ...(icmp === undefined ? {} : { icmp }),
    ...(Object.keys(source).length === 0 ? {} : { source }),
    ...(Object.keys(destination).length === 0 ? {} : { destination }),
  };
  try {
    checkRule(rule, path);
  } catch (error) {
    if (error instanceof BadInput) throw failure(error.message);
    throw error;
  }
  return rule;
}

const actions: Readonly<Record<string, Rule["action"] | undefined>> = {
  allow: "Allow",
  deny: "Deny",
  log: "Log",
  "next-tier": "Pass",
};

function numbersOf(fields: Readonly<Record<string, unknown>>, path: string): Rule["icmp"] {
  const { icmp_type: type, icmp_code: code } = fields;
  const wrong = (value: unknown, most: number) =>
    value !== undefined && !(typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most);
  if (wrong(type, 254) || wrong(code, 255) || (type === undefined && code !== undefined)) {
    throw failure(`${path}: Invalid ICMP type or ICMP code specified.`);
  }
  if (typeof type !== "number") return undefined;
  return typeof code === "number" ? { type, code } : { type };
}

function sideOf(
  prefix: "src" | "dst",
  fields: Readonly<Record<string, unknown>>,
  path: string,
  names: TagNames,
): EntityRule {
  const field = (name: string) => fields[`${prefix}_${name}`];
  const [tag, selector, ports, net] = [field("tag"), field("selector"), field("ports"), field("net")];
  const side: EntityRule = {};
  if (tag !== undefined && selector !== undefined) {
    side.selector = `(${String(selector)}) && has(${names.label(String(tag))})`;
  } else if (tag !== undefined) side.selector = `has(${names.label(String(tag))})`;
  else if (selector !== undefined) side.selector = String(selector);
  if (ports !== undefined) {
    if (!Array.isArray(ports)) throw failure(`${path}.${prefix}_ports: a list of ports expected`);
    side.ports = ports.map((port: unknown) => (typeof port === "number" ? port : String(port)));
  }
  if (net !== undefined) {
    const cidr = tryParseCidr(String(net));
    if (cidr === undefined) throw failure(`${path}.${prefix}_net: "${String(net)}" is no CIDR`);
    side.nets = [cidr];
  }
  return side;
}
