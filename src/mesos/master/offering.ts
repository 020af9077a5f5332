/**
 * Offers: when an allocation run happens, how grants become offers, and every way an offer ends
 * (reference: mesos-behaviour 4, mesos-api 2.2 DECLINE, REVIVE, SUPPRESS).
 *
 * Runs happen each allocation interval over all agents, and at once for an agent or a framework that has just come, or
 * asked (REVIVE). Declining and finishing never start a run: what they free waits for the next interval.
 */

import { frameworkRoles, hasCapability } from "../protocol/framework-info.ts";
import type { Offer } from "../protocol/offer.ts";
import type { Resource } from "../protocol/resource-info.ts";
import { allocateTo, type Resources } from "../protocol/resources.ts";
import { type AgentRoom, allocate, type Claim } from "./allocator.ts";
import type { Agent, Framework, OfferRecord } from "./cluster.ts";
import { type MasterContext, tellFramework } from "./master-context.ts";
import { refuseSeconds } from "./offer-filters.ts";
import { type Quantities, quantitiesFrom } from "./quantities.ts";

const offersPerEventMax = 250;

export class Offering {
  readonly #context: MasterContext;
  #nextOffer = 0;
  #runs = 0;
  #lastRunMs = 0;

  constructor(context: MasterContext) {
    this.#context = context;
  }

  get runs(): number {
    return this.#runs;
  }

  get lastRunMs(): number {
    return this.#lastRunMs;
  }

  /** Each interval until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, settings } = this.#context;
    while (!signal.aborted) {
      await clock.sleep(settings.allocationIntervalMs, signal);
      this.allocate();
    }
  }

  /** One allocation run, over the given agents only or over all. */
  allocate(only?: readonly Agent[]): void {
    const { cluster, clock, settings } = this.#context;
    const startMs = clock.monotonicMs();
    const claims = this.#claims();
    if (claims.length === 0) return;
    const agents = [...(only ?? cluster.agents.values())]
      .filter((agent) => this.#isOpen(agent))
      .map((agent) => this.#room(agent));
    shuffle(agents, () => clock.random());
    const grants = allocate({
      agents: agents.filter((agent) => agent.available.length > 0),
      claims,
      total: cluster.ledger.total,
      weights: settings.weights,
      excluded: settings.fairnessExcluded,
    });
    this.#runs += 1;
    this.#lastRunMs = clock.monotonicMs() - startMs;
    const byFramework = new Map<Framework, OfferRecord[]>();
    for (const grant of grants) {
      const framework = cluster.frameworks.get(grant.frameworkId);
      if (framework === undefined) continue;
      const offer: OfferRecord = { ...grant, id: this.#newId(), timer: undefined };
      cluster.addOffer(offer);
      if (settings.offerTimeoutMs !== undefined) {
        offer.timer = clock.timer(settings.offerTimeoutMs, () => this.rescind([offer]));
      }
      byFramework.set(framework, [...(byFramework.get(framework) ?? []), offer]);
    }
    for (const [framework, offers] of byFramework) this.#sendOffers(framework, offers);
  }

  /** In records that stay below the 4 MiB that clients such as mesos-go accept (reference: mesos-api 10.12). */
  #sendOffers(framework: Framework, offers: readonly OfferRecord[]): void {
    this.#context.counters.add("offers_sent", offers.length);
    for (let start = 0; start < offers.length; start += offersPerEventMax) {
      const some = offers.slice(start, start + offersPerEventMax);
      const event = { offers: some.map((offer) => this.describe(framework, offer)) };
      tellFramework(this.#context, framework, { type: "OFFERS", offers: event });
    }
  }

  /** The offer as the framework sees it: allocation marks only for frameworks that know roles. */
  describe(framework: Framework, offer: OfferRecord): Offer {
    const agent = this.#context.cluster.agents.get(offer.agentId);
    const multiRole = hasCapability(framework.info, "MULTI_ROLE");
    const marked = multiRole ? allocateTo(offer.resources, offer.role) : offer.resources;
    return {
      id: { value: offer.id },
      framework_id: { value: framework.id },
      agent_id: { value: offer.agentId },
      hostname: agent?.info.hostname ?? "",
      url:
        agent === undefined
          ? undefined
          : {
              scheme: "http",
              address: { hostname: agent.info.hostname, ip: agent.ip, port: agent.info.port ?? 5051 },
              path: "/slave(1)",
            },
      domain: agent?.info.domain,
      resources: hasCapability(framework.info, "RESERVATION_REFINEMENT")
        ? marked.map(withReservationList)
        : marked.map((resource) => ({ ...resource, role: resource.role ?? "*" })),
      attributes: agent?.info.attributes,
      allocation_info: multiRole ? { role: offer.role } : undefined,
    };
  }

  /** Takes offers back and says so. Not said to a framework that is not connected. */
  rescind(offers: Iterable<OfferRecord>): void {
    const { cluster, counters } = this.#context;
    for (const offer of [...offers]) {
      const framework = cluster.frameworks.get(offer.frameworkId);
      cluster.removeOffer(offer);
      counters.add("offers_rescinded");
      if (framework !== undefined) {
        tellFramework(this.#context, framework, { type: "RESCIND", rescind: { offer_id: { value: offer.id } } });
      }
    }
  }

  /** Ends offers without a word. */
  discard(offers: Iterable<OfferRecord>): void {
    for (const offer of [...offers]) this.#context.cluster.removeOffer(offer);
  }

  decline(framework: Framework, offerIds: readonly string[], refuse: number | undefined): void {
    for (const id of offerIds) {
      const offer = this.#context.cluster.offers.get(id);
      if (offer?.frameworkId !== framework.id) continue;
      this.#context.cluster.removeOffer(offer);
      this.#context.counters.add("offers_declined");
      this.refuse(framework, offer.role, offer.agentId, offer.resources, refuse);
    }
  }

  /** What was offered and is not wanted now: held back at least until the next interval has passed. */
  refuse(framework: Framework, role: string, agentId: string, resources: Resources, asked: number | undefined): void {
    const { clock, settings } = this.#context;
    const seconds = refuseSeconds(asked);
    if (seconds === 0 || resources.length === 0) return;
    const untilMs = clock.monotonicMs() + Math.max(seconds * 1_000, settings.allocationIntervalMs);
    framework.filters.refuse(role, agentId, resources, untilMs);
  }

  revive(framework: Framework, asked: readonly string[] | undefined): void {
    const roles = this.#rolesOf(framework, asked);
    if (roles === undefined) return;
    this.unsuppress(framework, roles);
    this.allocate();
  }

  unsuppress(framework: Framework, roles: readonly string[]): void {
    framework.suppressedRoles = new Set([...framework.suppressedRoles].filter((role) => !roles.includes(role)));
    for (const role of roles) framework.filters.clearRole(role);
  }

  suppress(framework: Framework, asked: readonly string[] | undefined): void {
    const roles = this.#rolesOf(framework, asked);
    if (roles !== undefined) framework.suppressedRoles = new Set([...framework.suppressedRoles, ...roles]);
  }

  /** None asked for means all; one that the framework does not have spoils the whole call. */
  #rolesOf(framework: Framework, asked: readonly string[] | undefined): readonly string[] | undefined {
    const own = frameworkRoles(framework.info);
    if (asked === undefined || asked.length === 0) return own;
    const foreign = asked.find((role) => !own.includes(role));
    if (foreign === undefined) return asked;
    this.#context.log.warn({
      event: "call_dropped",
      frameworkId: framework.id,
      because: `role ${foreign} is not its own`,
    });
    return undefined;
  }

  #claims(): readonly Claim[] {
    const { cluster, clock, settings } = this.#context;
    const nowMs = clock.monotonicMs();
    const claims: Claim[] = [];
    for (const framework of cluster.frameworks.values()) {
      if (framework.stream === undefined) continue;
      for (const role of frameworkRoles(framework.info)) {
        if (framework.suppressedRoles.has(role)) continue;
        claims.push({
          frameworkId: framework.id,
          role,
          allocated: cluster.ledger.claimOf(framework.id, role),
          grants: framework.grants.get(role) ?? 0,
          minimum: this.#minimum(framework, role),
          wantsGpus: !settings.filterGpuResources || hasCapability(framework.info, "GPU_RESOURCES"),
          constraints: framework.offerConstraints,
          refused: framework.filters.refused(role, nowMs),
        });
      }
    }
    return claims;
  }

  #minimum(framework: Framework, role: string): readonly Quantities[] {
    const filters = framework.info.offer_filters;
    const own = filters !== undefined && Object.hasOwn(filters, role) ? filters[role] : undefined;
    if (own?.min_allocatable_resources === undefined) return this.#context.settings.minAllocatable;
    return (own.min_allocatable_resources.quantities ?? []).map(({ quantities }) => quantitiesFrom(quantities ?? {}));
  }

  #isOpen(agent: Agent): boolean {
    const { hostsAllowed } = this.#context.settings;
    return agent.stream !== undefined && (hostsAllowed === undefined || hostsAllowed.has(agent.info.hostname));
  }

  #room(agent: Agent): AgentRoom {
    return {
      id: agent.id,
      hostname: agent.info.hostname,
      attributes: agent.info.attributes ?? [],
      domain: agent.info.domain,
      available: this.#context.cluster.ledger.available(agent.id),
    };
  }

  #newId(): string {
    return `${this.#context.info.id}-O${this.#nextOffer++}`;
  }
}

function withReservationList(resource: Resource): Resource {
  const { role, reservation, ...rest } = resource;
  if (rest.reservations !== undefined || role === undefined || role === "*") return rest;
  return { ...rest, reservations: [{ type: reservation === undefined ? "STATIC" : "DYNAMIC", role, ...reservation }] };
}

/** Fisher and Yates, in place. */
function shuffle<Item>(items: Item[], random: () => number): void {
  for (let index = items.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    const [one, two] = [items[index], items[other]];
    if (one === undefined || two === undefined) continue;
    items[index] = two;
    items[other] = one;
  }
}
