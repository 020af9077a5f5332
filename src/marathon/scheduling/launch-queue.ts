/** Why apps wait for instances: what /v2/queue shows (reference: marathon 7.3). Kept from offer to offer, in memory only. */

import type { Offer } from "../../mesos/protocol/offer.ts";
import { scalarOf } from "../../mesos/protocol/resources.ts";
import type { App } from "../app/app.ts";
import type { AppId } from "../app/app-id.ts";
import { type Rejection, type RejectReason, rejectReasons } from "../plan/offer-matching.ts";

export interface QueueEntry {
  readonly app: App;
  readonly count: number;
  readonly sinceMs: number;
  readonly notBeforeMs: number;
  readonly processed: number;
  readonly unused: number;
  readonly lastUnusedMs: number | undefined;
  readonly lastUsedMs: number | undefined;
  /** Of the newest look at the offers. */
  readonly last: readonly Rejection[];
  readonly lastAtMs: number;
  /** Funnel over all offers since the entry began: how many reached a stage and how many fell out there. */
  readonly totals: ReadonlyMap<RejectReason, number>;
}

export class LaunchQueue {
  readonly #entries = new Map<AppId, QueueEntry>();

  get entries(): readonly QueueEntry[] {
    return [...this.#entries.values()];
  }

  get(app: AppId): QueueEntry | undefined {
    return this.#entries.get(app);
  }

  /** What is missing now; entries of apps that miss nothing go. */
  replace(
    wishes: ReadonlyMap<AppId, { readonly app: App; readonly count: number; readonly notBeforeMs: number }>,
    nowMs: number,
  ): void {
    for (const id of this.#entries.keys()) if (!wishes.has(id)) this.#entries.delete(id);
    for (const [id, wish] of wishes) {
      const entry = this.#entries.get(id) ?? {
        sinceMs: nowMs,
        processed: 0,
        unused: 0,
        lastUnusedMs: undefined,
        lastUsedMs: undefined,
        last: [],
        lastAtMs: nowMs,
        totals: new Map<RejectReason, number>(),
      };
      this.#entries.set(id, { ...entry, ...wish });
    }
  }

  looked(app: AppId, rejections: readonly Rejection[], used: number, nowMs: number): void {
    const entry = this.#entries.get(app);
    if (entry === undefined) return;
    const totals = new Map(entry.totals);
    for (const { reasons } of rejections) {
      const first = firstStage(reasons);
      totals.set(first, (totals.get(first) ?? 0) + 1);
    }
    this.#entries.set(app, {
      ...entry,
      processed: entry.processed + rejections.length + used,
      unused: entry.unused + rejections.length,
      lastUnusedMs: rejections.length > 0 ? nowMs : entry.lastUnusedMs,
      lastUsedMs: used > 0 ? nowMs : entry.lastUsedMs,
      last: rejections,
      lastAtMs: nowMs,
      totals,
    });
  }
}

export function firstStage(reasons: readonly RejectReason[]): RejectReason {
  return rejectReasons.find((stage) => reasons.includes(stage)) ?? "UnfulfilledConstraint";
}

/** One sentence a user can act on. */
export function waitingReason(entry: QueueEntry, nowMs: number): string {
  if (entry.notBeforeMs > nowMs) {
    return `The last launch failed: the next one is tried in ${Math.ceil((entry.notBeforeMs - nowMs) / 1000)} s.`;
  }
  if (entry.last.length === 0) return "No offers of resources have come in yet.";
  const reasons = rejectReasons.filter((reason) => entry.last.every((rejection) => rejection.reasons.includes(reason)));
  const offers = entry.last.map(({ offer }) => offer);
  const texts = reasons.map((reason) => reasonText(reason, entry.app, offers));
  if (texts.length > 0) return texts.join(" ");
  const each = entry.last.map(({ offer, reasons: why }) => `${offer.hostname}: ${why.join(", ")}`);
  return `No host fits: ${each.join("; ")}.`;
}

function reasonText(reason: RejectReason, app: App, offers: readonly Offer[]): string {
  switch (reason) {
    case "InsufficientCpus":
      return amountText("cpus", app.cpus, offers);
    case "InsufficientMemory":
      return amountText("mem", app.mem, offers);
    case "InsufficientDisk":
      return amountText("disk", app.disk, offers);
    case "InsufficientGpus":
      return amountText("gpus", app.gpus, offers);
    case "InsufficientPorts":
      return "The ports wanted are not free on any host that offers resources.";
    case "UnfulfilledConstraint":
      return "No host that offers resources meets the constraints.";
    case "UnfulfilledRole":
      return `No resources are offered to role ${app.role}.`;
    default:
      return `Refused: ${reason}.`;
  }
}

function amountText(name: string, wanted: number, offers: readonly Offer[]): string {
  const most = offers.reduce((best, offer) => Math.max(best, scalarOf(offer.resources ?? [], name)), 0);
  return `An instance needs ${wanted} ${name}; the most that a host offers is ${most}.`;
}
