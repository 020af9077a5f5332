/**
 * Who holds what on which agent, as running sums, so that an allocation run needs no scan over tasks and offers.
 *
 * "Held" is what tasks use and what is being offered. Only here are sums changed. The available part of an agent is what
 * its total says minus what is held; if an agent came back smaller than its tasks, nothing of that kind is available.
 */

import { invariant } from "../../base/errors.ts";
import { addResources, type Resources, subtractResources } from "../protocol/resources.ts";
import { addQuantities, type Quantities } from "./quantities.ts";

interface AgentAccount {
  total: Resources;
  held: Resources;
  available: Resources | undefined;
}

export interface Holding {
  readonly agentId: string;
  readonly frameworkId: string;
  readonly role: string;
  readonly resources: Resources;
}

const nothing: Quantities = new Map();

export class ResourceLedger {
  readonly #agents = new Map<string, AgentAccount>();
  readonly #total = new Map<string, number>();
  readonly #held = new Map<string, number>();
  readonly #claims = new Map<string, Map<string, number>>();

  get total(): Quantities {
    return this.#total;
  }

  get held(): Quantities {
    return this.#held;
  }

  hasAgent(agentId: string): boolean {
    return this.#agents.has(agentId);
  }

  addAgent(agentId: string, total: Resources): void {
    invariant(!this.#agents.has(agentId), `agent ${agentId} is in the ledger once`);
    this.#agents.set(agentId, { total, held: [], available: undefined });
    addQuantities(this.#total, total, 1);
  }

  setTotal(agentId: string, total: Resources): void {
    const account = this.#account(agentId);
    addQuantities(this.#total, account.total, -1);
    addQuantities(this.#total, total, 1);
    account.total = total;
    account.available = undefined;
  }

  /** Everything held there must have been released before. */
  removeAgent(agentId: string): void {
    const account = this.#account(agentId);
    invariant(account.held.length === 0, `nothing is held on agent ${agentId} when it goes`);
    addQuantities(this.#total, account.total, -1);
    this.#agents.delete(agentId);
  }

  available(agentId: string): Resources {
    const account = this.#account(agentId);
    account.available ??= subtractResources(account.total, account.held);
    return account.available;
  }

  heldOn(agentId: string): Resources {
    return this.#account(agentId).held;
  }

  claimOf(frameworkId: string, role: string): Quantities {
    return this.#claims.get(claimKey(frameworkId, role)) ?? nothing;
  }

  hold({ agentId, frameworkId, role, resources }: Holding): void {
    const account = this.#account(agentId);
    account.held = addResources(account.held, resources);
    account.available = undefined;
    addQuantities(this.#held, resources, 1);
    const key = claimKey(frameworkId, role);
    const claim = this.#claims.get(key) ?? new Map<string, number>();
    addQuantities(claim, resources, 1);
    this.#claims.set(key, claim);
  }

  release({ agentId, frameworkId, role, resources }: Holding): void {
    const account = this.#account(agentId);
    account.held = subtractResources(account.held, resources);
    account.available = undefined;
    addQuantities(this.#held, resources, -1);
    const key = claimKey(frameworkId, role);
    const claim = this.#claims.get(key);
    invariant(claim !== undefined, `framework ${frameworkId} holds something in role ${role}`);
    addQuantities(claim, resources, -1);
    if (claim.size === 0) this.#claims.delete(key);
  }

  #account(agentId: string): AgentAccount {
    const account = this.#agents.get(agentId);
    invariant(account !== undefined, `agent ${agentId} is in the ledger`);
    return account;
  }
}

function claimKey(frameworkId: string, role: string): string {
  return `${frameworkId}\n${role}`;
}
