/** How this Marathon is set up: its command line as checked values, with upstream's defaults where they still make sense. */

import type { AppRules } from "./app/app-change.ts";
import type { PlannerLimits } from "./plan/planner.ts";

export interface MarathonSettings {
  readonly masters: readonly string[];
  /** What others know this machine as: leader data, FrameworkInfo, Location headers without a Host. */
  readonly hostname: string;
  readonly httpAddress: string;
  readonly httpPort: number;
  readonly frameworkName: string;
  readonly user: string;
  readonly role: string;
  readonly webuiUrl?: string | undefined;
  readonly failoverTimeoutSeconds: number;
  readonly rules: AppRules;
  readonly limits: PlannerLimits;
  readonly environmentPrefix?: string | undefined;
  readonly deploymentsMax: number;
  readonly versionsMax: number;
  readonly instancesPerOfferMax: number;
  readonly declineSeconds: number;
  readonly reviveIntervalMinMs: number;
  /** How long offers are gathered after the first one, so that there is a choice of hosts. */
  readonly offerGatherMs: number;
  readonly reconciliationIntervalMs: number;
  readonly heartbeatsMissedMax: number;
  readonly eventsOutstandingMax: number;
  readonly bodyMaxBytes: number;
  readonly httpCredentials?: string | undefined;
  readonly httpRealm: string;
  readonly corsOrigins: readonly string[];
  /** Refuse apps on networks that the store does not know. */
  readonly networkCheck: boolean;
}

export const marathonVersion = "1.11.24";

export const defaultSettings: MarathonSettings = {
  masters: ["http://127.0.0.1:5050"],
  hostname: "localhost",
  httpAddress: "127.0.0.1",
  httpPort: 8080,
  frameworkName: "marathon",
  user: "root",
  role: "*",
  failoverTimeoutSeconds: 604_800,
  rules: {
    bridgeName: "mesos-bridge",
    defaultRole: "*",
    roles: ["*"],
    servicePorts: { min: 10_000, max: 20_000 },
  },
  limits: { killRetryMs: 10_000, launchConfirmTimeoutMs: 300_000, launchTimeoutMs: 300_000 },
  deploymentsMax: 100,
  versionsMax: 50,
  // Upstream's 5 packs a host full before it tries the next; the hosts at hand are shared out here, so it may be higher.
  instancesPerOfferMax: 20,
  declineSeconds: 120,
  reviveIntervalMinMs: 250,
  offerGatherMs: 50,
  reconciliationIntervalMs: 60_000,
  heartbeatsMissedMax: 5,
  eventsOutstandingMax: 1024,
  bodyMaxBytes: 1024 * 1024,
  httpRealm: "Mesosphere",
  corsOrigins: [],
  networkCheck: true,
};
