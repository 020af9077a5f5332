/** One nftables table in memory: does what the kernel does to it, and refuses what the kernel refuses. For fake-network.ts. */
import { cidrOverlaps, tryParseCidr } from "../../base/addresses.ts";
import { OperationError } from "../../base/errors.ts";
import { elementValueText, type Operation, type RuleSpec, type SetElement, type SetSpec } from "../nftables/ruleset.ts";

export interface FakeTable {
  readonly sets: Map<string, { spec: SetSpec; elements: Map<string, SetElement> }>;
  readonly chains: Map<string, { hook: string; rules: RuleSpec[] }>;
}

/** @throws OperationError as the kernel refuses; then the table may be half changed: work on a copy. */
export function applyOperation(table: FakeTable | undefined, operation: Operation): FakeTable | undefined {
  if (operation.op === "add-table") return table ?? { sets: new Map(), chains: new Map() };
  if (table === undefined) return refuse("there is no such table");
  switch (operation.op) {
    case "delete-table":
      return undefined;
    case "add-set": {
      const { set } = operation;
      const before = table.sets.get(set.name);
      if (before !== undefined && before.spec.kind !== set.kind) refuse(`set ${set.name} is of another kind`);
      if (before === undefined) table.sets.set(set.name, { spec: set, elements: new Map() });
      return table;
    }
    case "delete-set":
      if (references(table).sets.has(operation.set.name)) refuse(`set ${operation.set.name} is in use`);
      if (!table.sets.delete(operation.set.name)) refuse(`there is no set ${operation.set.name}`);
      return table;
    case "add-chain": {
      const { name, hook } = operation.chain;
      const text = hook === undefined ? "" : `${hook.type} ${hook.hook} ${hook.priority}`;
      const before = table.chains.get(name);
      if (before !== undefined && before.hook !== text) refuse(`chain ${name} has another hook`);
      if (before === undefined) table.chains.set(name, { hook: text, rules: [] });
      return table;
    }
    case "flush-chain":
      chainOf(table, operation.chain).rules.length = 0;
      return table;
    case "delete-chain":
      chainOf(table, operation.chain).rules.length = 0; // the kernel takes the rules along
      if (references(table).chains.has(operation.chain)) refuse(`chain ${operation.chain} is in use`);
      table.chains.delete(operation.chain);
      return table;
    case "add-rule":
      chainOf(table, operation.chain).rules.push(operation.rule);
      checkReferences(table, operation.chain, operation.rule);
      return table;
    case "add-elements": {
      const { elements } = setOf(table, operation.set);
      for (const element of operation.elements) addElement(table, operation.set, elements, element);
      return table;
    }
    case "delete-elements": {
      const { elements } = setOf(table, operation.set);
      for (const { key } of operation.elements)
        if (!elements.delete(key)) refuse(`there is no element ${key} in ${operation.set.name}`);
      return table;
    }
    default:
      return table;
  }
}

function addElement(table: FakeTable, set: SetSpec, elements: Map<string, SetElement>, element: SetElement): void {
  const { key, verdict } = element;
  if (typeof verdict === "object") chainOf(table, verdict.goto);
  const before = elements.get(key);
  if (before !== undefined) {
    if (elementValueText(before) !== elementValueText(element)) refuse(`element ${key} is there with another value`);
    return;
  }
  const cidr = set.kind === "networks4" || set.kind === "networks6" ? tryParseCidr(key) : undefined;
  if (cidr !== undefined)
    for (const other of elements.keys()) {
      const present = tryParseCidr(other);
      if (present !== undefined && cidrOverlaps(cidr, present)) refuse(`${key} overlaps ${other} in ${set.name}`);
    }
  elements.set(key, element);
}

export function checkReferences(table: FakeTable, chain: string, rule: RuleSpec): void {
  const used = ruleReferences(rule);
  for (const name of used.chains) if (!table.chains.has(name)) refuse(`rule in ${chain} names unknown chain ${name}`);
  for (const name of used.sets) if (!table.sets.has(name)) refuse(`rule in ${chain} names unknown set ${name}`);
}

function ruleReferences(rule: RuleSpec): { chains: string[]; sets: string[] } {
  const chains = rule.actions.flatMap((action) => (action.do === "jump" || action.do === "goto" ? [action.chain] : []));
  const maps = rule.actions.flatMap((action) => ("map" in action ? [action.map] : []));
  const sets = rule.matches.flatMap((match) => ("set" in match ? [match.set] : []));
  return { chains, sets: [...sets, ...maps] };
}

function references(table: FakeTable): { chains: Set<string>; sets: Set<string> } {
  const chains = new Set<string>();
  const sets = new Set<string>();
  for (const { rules } of table.chains.values())
    for (const rule of rules) {
      const used = ruleReferences(rule);
      for (const name of used.chains) chains.add(name);
      for (const name of used.sets) sets.add(name);
    }
  for (const { elements } of table.sets.values())
    for (const { verdict } of elements.values()) if (typeof verdict === "object") chains.add(verdict.goto);
  return { chains, sets };
}

function chainOf(table: FakeTable, name: string): { hook: string; rules: RuleSpec[] } {
  return table.chains.get(name) ?? refuse(`there is no chain ${name}`);
}

function setOf(table: FakeTable, spec: SetSpec): { spec: SetSpec; elements: Map<string, SetElement> } {
  const set = table.sets.get(spec.name);
  if (set === undefined || set.spec.kind !== spec.kind) return refuse(`there is no set ${spec.name} of this kind`);
  return set;
}

export function refuse(reason: string): never {
  throw new OperationError("NFT_REFUSED", `nftables refuses the transaction: ${reason}`, { retry: "backoff" });
}

export function copyOf(table: FakeTable): FakeTable {
  return {
    sets: new Map([...table.sets].map(([name, set]) => [name, { ...set, elements: new Map(set.elements) }])),
    chains: new Map([...table.chains].map(([name, chain]) => [name, { ...chain, rules: [...chain.rules] }])),
  };
}
