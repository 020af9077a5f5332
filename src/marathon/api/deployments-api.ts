/** `/v2/deployments` and `/v2/queue` (reference: marathon 7.2, 7.3). */

import { timestamp } from "../app/app-id.ts";
import { appJson } from "../app/app-json.ts";
import type { DeploymentService } from "../deployment-service.ts";
import type { Engine } from "../engine.ts";
import { deploymentJson } from "../plan/deployment-json.ts";
import { type Rejection, rejectReasons } from "../plan/offer-matching.ts";
import { notFound } from "../refusal.ts";
import { firstStage, type QueueEntry, waitingReason } from "../scheduling/launch-queue.ts";
import type { AppView } from "./app-view.ts";
import { appIdIn, deploymentReply } from "./apps-api.ts";
import { type Reply, type Route, type RouteContext, route } from "./route.ts";

export interface DeploymentsApiParts {
  readonly engine: Engine;
  readonly service: DeploymentService;
  readonly view: AppView;
}

type Json = Readonly<Record<string, unknown>>;

export function deploymentsRoutes({ engine, service, view }: DeploymentsApiParts): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/v2/deployments",
      run: () => ({
        json: [...engine.state.deployments.values()].map((one) => deploymentJson(one, (id) => view.readiness(id))),
      }),
    }),
    route({
      method: "DELETE",
      path: "/v2/deployments/{deploymentId}",
      run: async (context) => {
        const id = context.param("deploymentId");
        const deployment = engine.state.deployments.get(id);
        if (deployment === undefined) throw notFound(`DeploymentPlan ${id} does not exist`);
        if (!context.flag("force")) return deploymentReply(await service.rollBack(deployment));
        await service.cancel(deployment);
        return { status: 202 };
      },
    }),
    route({ method: "GET", path: "/v2/queue", run: (context) => showQueue(engine, context) }),
    route({ method: "DELETE", path: "/v2/queue/{id*}/delay", run: (context) => resetDelay(engine, context) }),
  ];
}

function resetDelay(engine: Engine, context: RouteContext): Reply {
  const id = appIdIn(context);
  if (engine.queue.get(id) === undefined) throw notFound(`Application ${id} not found in tasks queue.`);
  engine.delays.reset(id);
  engine.poke();
  return { status: 204 };
}

function showQueue(engine: Engine, context: RouteContext): Reply {
  const nowMs = engine.clock.nowMs();
  const withOffers = context.query.getAll("embed").includes("lastUnusedOffers");
  return { json: { queue: engine.queue.entries.map((entry) => queueEntryJson(entry, nowMs, withOffers)) } };
}

function queueEntryJson(entry: QueueEntry, nowMs: number, withOffers: boolean): Json {
  const leftMs = Math.max(0, entry.notBeforeMs - nowMs);
  const time = (ms: number | undefined) => (ms === undefined ? null : timestamp(ms));
  return {
    count: entry.count,
    role: entry.app.role,
    since: timestamp(entry.sinceMs),
    delay: { timeLeftSeconds: Math.ceil(leftMs / 1000), overdue: leftMs === 0 },
    // Ours: the summaries below in one sentence.
    reason: waitingReason(entry, nowMs),
    processedOffersSummary: {
      processedOffersCount: entry.processed,
      unusedOffersCount: entry.unused,
      lastUnusedOfferAt: time(entry.lastUnusedMs),
      lastUsedOfferAt: time(entry.lastUsedMs),
      rejectSummaryLastOffers: funnel(countStages(entry.last), entry.last.length),
      rejectSummaryLaunchAttempt: funnel(entry.totals, entry.processed),
    },
    ...(withOffers
      ? { lastUnusedOffers: entry.last.map((rejection) => unusedOfferJson(rejection, entry.lastAtMs)) }
      : {}),
    app: appJson(entry.app),
  };
}

function countStages(rejections: readonly Rejection[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { reasons } of rejections) counts.set(firstStage(reasons), (counts.get(firstStage(reasons)) ?? 0) + 1);
  return counts;
}

/** In order of the tests: each stage sees what the ones before it let through. */
function funnel(declined: ReadonlyMap<string, number>, offers: number): readonly Json[] {
  let processed = offers;
  return rejectReasons.map((reason) => {
    const stage = { reason, declined: declined.get(reason) ?? 0, processed };
    processed -= stage.declined;
    return stage;
  });
}

function unusedOfferJson({ offer, reasons }: Rejection, atMs: number): Json {
  return {
    offer: {
      id: offer.id.value,
      agentId: offer.agent_id.value,
      hostname: offer.hostname,
      resources: (offer.resources ?? []).map(({ name, scalar, ranges, role }) => ({
        name,
        role: role ?? "*",
        ...(scalar === undefined ? {} : { scalar: scalar.value }),
        ...(ranges === undefined ? {} : { ranges: ranges.range ?? [] }),
      })),
      attributes: offer.attributes ?? [],
    },
    reason: reasons,
    timestamp: timestamp(atMs),
  };
}
