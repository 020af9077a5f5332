/** Small resources: who we are, whether we live, the groups as a view of the apps (reference: marathon 7.1, 7.4). */

import type { App } from "../app/app.ts";
import type { Engine } from "../engine.ts";
import { notFound, Refusal } from "../refusal.ts";
import { type MarathonSettings, marathonVersion } from "../settings.ts";
import { type AppView, type Embed, parseEmbeds } from "./app-view.ts";
import { type Reply, type Route, type RouteContext, route } from "./route.ts";

type Json = Readonly<Record<string, unknown>>;

export interface ClusterApiParts {
  readonly engine: Engine;
  readonly view: AppView;
  readonly leader: () => string;
  /** Ends this process, for a supervisor to start another. */
  readonly abdicate: () => void;
}

export function clusterRoutes(parts: ClusterApiParts): readonly Route[] {
  const { engine } = parts;
  return [
    route({ method: "GET", path: "/ping", open: true, run: ping }),
    route({ method: "GET", path: "/v2/info", run: () => ({ json: info(parts) }) }),
    route({ method: "GET", path: "/v2/leader", run: () => ({ json: { leader: parts.leader() } }) }),
    route({
      method: "DELETE",
      path: "/v2/leader",
      run: () => {
        parts.abdicate();
        return { json: { message: "Leadership abdicated" } };
      },
    }),
    route({ method: "GET", path: "/metrics", run: () => ({ json: engine.metrics.json() }) }),
    route({
      method: "GET",
      path: "/metrics/prometheus",
      run: () => ({ text: engine.metrics.prometheus(), headers: { "Content-Type": "text/plain; version=0.0.4" } }),
    }),
    route({ method: "GET", path: "/v2/plugins", run: () => ({ json: { plugins: [] } }) }),
    route({ method: "GET", path: "/v2/groups", run: (context) => showGroup(parts, "/", context) }),
    route({
      method: "GET",
      path: "/v2/groups/{id*}",
      run: (context) => showGroup(parts, `/${context.param("id").replaceAll(/^\/+|\/+$/g, "")}`, context),
    }),
    ...(["POST", "PUT", "PATCH", "DELETE"] as const).flatMap((method) =>
      ["/v2/groups", "/v2/groups/{id*}"].map((path) => route({ method, path, run: refuseGroupChange })),
    ),
  ];
}

function ping({ request }: RouteContext): Reply {
  const accept = request.headers.get("Accept") ?? "*/*";
  if (accept.includes("text/plain") || accept.includes("*/*") || accept === "") return { text: "pong" };
  if (accept.includes("application/json")) return { json: "pong" };
  if (accept.includes("text/html"))
    return { text: "<html><body>pong</body></html>", headers: { "Content-Type": "text/html" } };
  return { status: 204 };
}

function info({ engine, leader }: ClusterApiParts): Json {
  const { settings, state, connection } = engine;
  return {
    name: settings.frameworkName,
    version: marathonVersion,
    buildref: "margay",
    elected: true,
    leader: leader(),
    frameworkId: state.frameworkId ?? null,
    marathon_config: configJson(settings, connection.masterUrl),
    zookeeper_config: {
      zk: null,
      zk_compression: null,
      zk_compression_threshold: null,
      zk_connection_timeout: null,
      zk_max_node_size: null,
      zk_max_versions: settings.versionsMax,
      zk_session_timeout: null,
      zk_timeout: null,
    },
    http_config: { http_port: settings.httpPort, https_port: null },
  };
}

function configJson(settings: MarathonSettings, masterUrl: string | undefined): Json {
  return {
    access_control_allow_origin: settings.corsOrigins.length === 0 ? null : settings.corsOrigins,
    checkpoint: true,
    decline_offer_duration: settings.declineSeconds * 1000,
    default_network_name: settings.rules.defaultNetworkName ?? null,
    env_vars_prefix: settings.environmentPrefix ?? null,
    executor: "//cmd",
    failover_timeout: settings.failoverTimeoutSeconds,
    features: [],
    framework_name: settings.frameworkName,
    ha: false,
    hostname: settings.hostname,
    launch_token: null,
    launch_token_refresh_interval: null,
    leader_proxy_connection_timeout_ms: null,
    leader_proxy_read_timeout_ms: null,
    local_port_max: settings.rules.servicePorts.max,
    local_port_min: settings.rules.servicePorts.min,
    master: settings.masters.join(","),
    max_instances_per_offer: settings.instancesPerOfferMax,
    mesos_bridge_name: settings.rules.bridgeName,
    mesos_heartbeat_failure_threshold: settings.heartbeatsMissedMax,
    mesos_heartbeat_interval: 15_000,
    mesos_leader_ui_url: masterUrl === undefined ? null : `${masterUrl}/`,
    mesos_role: settings.role === "*" ? null : settings.role,
    mesos_user: settings.user,
    new_group_enforce_role: "off",
    min_revive_offers_interval: settings.reviveIntervalMinMs,
    offer_matching_timeout: settings.offerGatherMs,
    on_elected_prepare_timeout: null,
    reconciliation_initial_delay: 0,
    reconciliation_interval: settings.reconciliationIntervalMs,
    scale_apps_initial_delay: 0,
    scale_apps_interval: 0,
    store_cache: true,
    task_launch_confirm_timeout: settings.limits.launchConfirmTimeoutMs,
    task_launch_timeout: settings.limits.launchTimeoutMs,
    task_lost_expunge_initial_delay: 0,
    task_lost_expunge_interval: 0,
    task_reservation_timeout: null,
    webui_url: settings.webuiUrl ?? null,
    maintenance_mode: false,
  };
}

function showGroup({ engine, view }: ClusterApiParts, id: string, context: RouteContext): Reply {
  const prefix = id === "/" ? "/" : `${id}/`;
  const apps = [...engine.state.apps.values()].filter((app) => app.id.startsWith(prefix));
  if (id !== "/" && apps.length === 0) throw notFound(`Group '${id}' does not exist`);
  const asked = context.query.getAll("embed");
  const embed = parseEmbeds(asked.filter((value) => value.startsWith("group.apps.")));
  return { json: groupJson(id, apps, view, embed) };
}

/** Groups are where apps are: what is not stored is the sum of its apps. */
function groupJson(id: string, apps: readonly App[], view: AppView, embed: ReadonlySet<Embed>): Json {
  const prefix = id === "/" ? "/" : `${id}/`;
  const direct = apps.filter((app) => !app.id.slice(prefix.length).includes("/"));
  const nested = Map.groupBy(
    apps.filter((app) => !direct.includes(app)),
    (app) => prefix + app.id.slice(prefix.length).split("/")[0],
  );
  const versions = apps.map(({ version }) => version).sort();
  return {
    id,
    version: versions.at(-1) ?? "1970-01-01T00:00:00.000Z",
    dependencies: [],
    enforceRole: false,
    pods: [],
    apps: view.apps(direct, embed),
    groups: [...nested].map(([child, members]) => groupJson(child, members, view, embed)),
  };
}

function refuseGroupChange(): never {
  throw new Refusal(501, "Groups cannot be changed here yet: change the apps in them through /v2/apps.");
}
