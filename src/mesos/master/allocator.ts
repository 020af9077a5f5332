/**
 * Who is offered what: dominant resource fairness over roles, then over the frameworks of a role
 * (reference: mesos-behaviour 4). Pure: a snapshot in, grants out; no clock, no dice: the caller shuffles the agents.
 *
 * - For each agent in the given order, each role in order of its share, each framework of the role in order of its
 *   share: everything that is left on the agent and that this role may use goes to it, unless it does not want it.
 * - What is granted counts at once, so that the next agent goes to whoever now has least.
 * - A share is the largest part of any scalar total held, divided by the weight; equal shares go to the one with fewer
 *   grants so far, then by name. `a/b` and `a/c` share what `a` gets.
 * - The grants of one agent never overlap and never exceed what was available there.
 */

import type { Resource } from "../protocol/resource-info.ts";
import { containsResources, type Resources, reservationRole, subtractResources } from "../protocol/resources.ts";
import type { OfferConstraints } from "../protocol/scheduler-call.ts";
import { type ConstrainedAgent, meetsConstraints } from "./offer-constraints.ts";
import { addQuantities, dominantShare, type Quantities, quantitiesOf, reaches } from "./quantities.ts";

export interface AgentRoom extends ConstrainedAgent {
  readonly id: string;
  /** What nobody uses and nobody is being offered. */
  readonly available: Resources;
}

/** One framework in one role that wants offers. */
export interface Claim {
  readonly frameworkId: string;
  readonly role: string;
  /** Used and offered, in this role, on all agents. */
  readonly allocated: Quantities;
  /** Grants so far: the tie-breaker. */
  readonly grants: number;
  /** Any one of these must be reached; an empty list means no minimum. */
  readonly minimum: readonly Quantities[];
  readonly wantsGpus: boolean;
  readonly constraints: OfferConstraints | undefined;
  /** By agent: an offer contained in one of these is not made. */
  readonly refused: ReadonlyMap<string, readonly Resources[]>;
}

export interface AllocationSnapshot {
  readonly agents: readonly AgentRoom[];
  readonly claims: readonly Claim[];
  readonly total: Quantities;
  /** Roles not listed weigh 1. */
  readonly weights: ReadonlyMap<string, number>;
  /** Resource names that do not count for fairness. */
  readonly excluded: ReadonlySet<string>;
}

export interface Grant {
  readonly agentId: string;
  readonly frameworkId: string;
  readonly role: string;
  readonly resources: Resources;
}

export function allocate(snapshot: AllocationSnapshot): readonly Grant[] {
  const grants: Grant[] = [];
  const tree = new RoleTree(snapshot);
  for (const agent of snapshot.agents) {
    let left = agent.available;
    // The order is that of the moment the agent is reached; what this agent gives counts from the next one on.
    for (const holder of tree.inOrder()) {
      if (left.length === 0) break;
      const resources = left.filter((resource) => mayUse(holder.claim.role, resource));
      if (!isWanted(holder.claim, agent, resources)) continue;
      left = subtractResources(left, resources);
      tree.grant(holder, resources);
      grants.push({ agentId: agent.id, frameworkId: holder.claim.frameworkId, role: holder.claim.role, resources });
    }
  }
  return grants;
}

/** Reserved resources are for their role and the roles below it. */
function mayUse(role: string, resource: Resource): boolean {
  const reserved = reservationRole(resource);
  return reserved === "*" || reserved === role || role.startsWith(`${reserved}/`);
}

function isWanted(claim: Claim, agent: AgentRoom, resources: Resources): boolean {
  if (resources.length === 0) return false;
  const amounts = quantitiesOf(resources);
  if (claim.minimum.length > 0 && !claim.minimum.some((minimum) => reaches(amounts, minimum))) return false;
  if (amounts.has("gpus") && !claim.wantsGpus) return false;
  if (!meetsConstraints(agent, claim.constraints, claim.role)) return false;
  return !(claim.refused.get(agent.id) ?? []).some((refused) => containsResources(refused, resources));
}

interface Holder {
  readonly claim: Claim;
  readonly allocated: Map<string, number>;
  grants: number;
  /** From the role itself up to its topmost ancestor. */
  readonly nodes: readonly RoleNode[];
}

interface RoleNode {
  readonly path: string;
  readonly weight: number;
  readonly allocated: Map<string, number>;
  grants: number;
  readonly holders: Holder[];
  readonly children: Map<string, RoleNode>;
}

class RoleTree {
  readonly #total: Quantities;
  readonly #excluded: ReadonlySet<string>;
  readonly #root: RoleNode;
  #order: readonly Holder[] | undefined;

  constructor(snapshot: AllocationSnapshot) {
    this.#total = snapshot.total;
    this.#excluded = snapshot.excluded;
    this.#root = newNode("", 1);
    for (const claim of snapshot.claims) {
      const nodes = nodesFor(this.#root, claim.role, snapshot.weights);
      const holder: Holder = { claim, allocated: new Map(claim.allocated), grants: claim.grants, nodes };
      nodes[0]?.holders.push(holder);
      for (const node of nodes) {
        for (const [name, amount] of claim.allocated)
          node.allocated.set(name, (node.allocated.get(name) ?? 0) + amount);
        node.grants += claim.grants;
      }
    }
  }

  inOrder(): readonly Holder[] {
    this.#order ??= this.#flatten(this.#root);
    return this.#order;
  }

  grant(holder: Holder, resources: Resources): void {
    addQuantities(holder.allocated, resources, 1);
    holder.grants += 1;
    for (const node of holder.nodes) {
      addQuantities(node.allocated, resources, 1);
      node.grants += 1;
    }
    this.#order = undefined;
  }

  /** A role with sub-roles competes with them as one more child: `a` stands beside `a/b`. */
  #flatten(node: RoleNode): readonly Holder[] {
    const own = this.#ranked(node.holders, (holder) => ({ ...holder, weight: 1, name: holder.claim.frameworkId }));
    if (node.children.size === 0) return own;
    const branches = [...node.children.values()].map((child) => ({
      allocated: child.allocated as Quantities,
      grants: child.grants,
      weight: child.weight,
      name: child.path,
      holders: () => this.#flatten(child),
    }));
    if (own.length > 0) {
      const held = new Map<string, number>();
      for (const holder of own) for (const [name, n] of holder.allocated) held.set(name, (held.get(name) ?? 0) + n);
      const grants = own.reduce((sum, holder) => sum + holder.grants, 0);
      branches.push({ allocated: held, grants, weight: node.weight, name: `${node.path}/.`, holders: () => own });
    }
    return this.#ranked(branches, (branch) => branch).flatMap((branch) => branch.holders());
  }

  #ranked<Item>(
    items: readonly Item[],
    rankOf: (item: Item) => { allocated: Quantities; grants: number; weight: number; name: string },
  ): readonly Item[] {
    if (items.length < 2) return items;
    return items
      .map((item) => {
        const { allocated, grants, weight, name } = rankOf(item);
        return { item, share: dominantShare(allocated, this.#total, this.#excluded) / weight, grants, name };
      })
      .sort((a, b) => a.share - b.share || a.grants - b.grants || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
      .map(({ item }) => item);
  }
}

function newNode(path: string, weight: number): RoleNode {
  return { path, weight, allocated: new Map(), grants: 0, holders: [], children: new Map() };
}

function nodesFor(root: RoleNode, role: string, weights: ReadonlyMap<string, number>): readonly RoleNode[] {
  const nodes: RoleNode[] = [];
  let node = root;
  for (const component of role.split("/")) {
    const path = node.path === "" ? component : `${node.path}/${component}`;
    const child = node.children.get(component) ?? newNode(path, weights.get(path) ?? 1);
    node.children.set(component, child);
    nodes.unshift(child);
    node = child;
  }
  return nodes;
}
