/** Which routes go with an interface; the rest of the plan is tested through the data plane. */
import { expect, test } from "bun:test";
import { hostCidr, parseIpAddress } from "../../base/addresses.ts";
import type { Route } from "../../kernel/routes.ts";
import { RoutePlan, routeMetric } from "./route-plan.ts";

function over(address: string, interfaceIndex: number): Route {
  const destination = hostCidr(parseIpAddress(address));
  return { destination, metric: routeMetric, target: { kind: "link", interfaceIndex } };
}

test("a link that goes takes the routes over it, however they were learned, and no other", () => {
  for (const learn of [
    (plan: RoutePlan, routes: readonly Route[]) => plan.observed(routes),
    (plan: RoutePlan, routes: readonly Route[]) => {
      for (const route of routes) plan.seen(route);
    },
  ]) {
    const plan = new RoutePlan();
    const left = () => [...plan.tracker.allActual.values()].map(({ destination }) => String(destination)).sort();
    learn(plan, [over("10.0.0.1", 7), over("10.0.0.2", 7), over("10.0.0.3", 8), over("10.0.0.4", 7)]);
    plan.gone(over("10.0.0.2", 7));
    plan.seen(over("10.0.0.4", 8)); // turned
    plan.linkGone(7);
    expect(left()).toEqual(["10.0.0.3/32", "10.0.0.4/32"]);
    plan.linkGone(7);
    plan.seen(over("10.0.0.4", 7)); // and back, to a new interface under the old number
    plan.linkGone(8);
    expect(left()).toEqual(["10.0.0.4/32"]);
    plan.linkGone(7);
    expect(left()).toEqual([]);
  }
});
