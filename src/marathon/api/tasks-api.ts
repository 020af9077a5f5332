/** Tasks of one app and of all: listing and killing (reference: marathon 4). */

import type { App } from "../app/app.ts";
import { type AppId, parseTaskId } from "../app/app-id.ts";
import { isObject, JsonReader } from "../app/json-reader.ts";
import type { DeploymentResult, DeploymentService } from "../deployment-service.ts";
import type { Engine } from "../engine.ts";
import type { Instance } from "../plan/instance.ts";
import { appUnknown, badRequest, notFound, Problems, wrongTypes } from "../refusal.ts";
import type { Conductor } from "../scheduling/conductor.ts";
import type { AppView } from "./app-view.ts";
import { appIdIn, deploymentReply } from "./apps-api.ts";
import { type Reply, type Route, type RouteContext, route } from "./route.ts";
import { taskLines } from "./task-json.ts";

export interface TasksApiParts {
  readonly engine: Engine;
  readonly service: DeploymentService;
  readonly view: AppView;
  readonly conductor: Conductor;
}

export function tasksRoutes(parts: TasksApiParts): readonly Route[] {
  const api = new TasksApi(parts);
  return [
    route({ method: "GET", path: "/v2/tasks", run: (context) => api.listAll(context) }),
    route({ method: "POST", path: "/v2/tasks/delete", run: (context) => api.killSeveral(context) }),
    route({ method: "DELETE", path: "/v2/apps/{id*}/tasks/{taskId}", run: (context) => api.killOne(context) }),
    route({ method: "DELETE", path: "/v2/apps/{id*}/tasks", run: (context) => api.killOfApp(context) }),
    route({ method: "GET", path: "/v2/apps/{id*}/*/tasks", run: (context) => api.listGroup(context) }),
    route({ method: "GET", path: "/v2/apps/{id*}/tasks", run: (context) => api.listApp(context) }),
  ];
}

class TasksApi {
  readonly #parts: TasksApiParts;

  constructor(parts: TasksApiParts) {
    this.#parts = parts;
  }

  listAll(context: RouteContext): Reply {
    const { state } = this.#parts.engine;
    const apps = [...state.apps.values()];
    if (wantsText(context)) return this.#lines(context, apps);
    const wanted = new Set([...context.query.getAll("status"), ...context.query.getAll("status[]")]);
    const instances = [...state.instances.values()].filter(
      (instance) => wanted.size === 0 || wanted.has(statusOf(instance)),
    );
    return { json: { tasks: instances.map((instance) => this.#parts.view.task(instance)) } };
  }

  listApp(context: RouteContext): Reply {
    const { state } = this.#parts.engine;
    const id = appIdIn(context);
    const app = state.apps.get(id);
    if (app === undefined) throw appUnknown(id);
    if (wantsText(context)) return this.#lines(context, [app]);
    return { json: { tasks: state.instancesOf(id).map((instance) => this.#parts.view.task(instance)) } };
  }

  listGroup(context: RouteContext): Reply {
    const { state } = this.#parts.engine;
    const group = appIdIn(context);
    const apps = [...state.apps.values()].filter(({ id }) => id.startsWith(`${group}/`));
    if (apps.length === 0) throw notFound(`Group '${group}' does not exist`);
    const tasks = apps.flatMap(({ id }) => state.instancesOf(id)).map((instance) => this.#parts.view.task(instance));
    return { json: { tasks } };
  }

  async killOne(context: RouteContext): Promise<Reply> {
    const { state } = this.#parts.engine;
    const id = appIdIn(context);
    if (!state.apps.has(id)) throw appUnknown(id);
    const taskId = context.param("taskId");
    const instance = state.instanceOfTask(taskId);
    if (instance?.appId !== id) throw notFound(`Task '${taskId}' does not exist`);
    const task = this.#parts.view.task(instance);
    const result = await this.#kill([instance], killOptions(context));
    return result === undefined ? { json: { task } } : deploymentReply(result);
  }

  async killOfApp(context: RouteContext): Promise<Reply> {
    const { state } = this.#parts.engine;
    const options = killOptions(context);
    const id = appIdIn(context);
    if (!state.apps.has(id)) throw appUnknown(id);
    const host = context.query.get("host") ?? "*";
    const instances = state.instancesOf(id).filter((instance) => host === "*" || instance.hostname === host);
    return this.#killed(instances, options);
  }

  async killSeveral(context: RouteContext): Promise<Reply> {
    const { state } = this.#parts.engine;
    const options = killOptions(context);
    const body = await context.json();
    const problems = new Problems();
    if (!isObject(body)) throw wrongTypes([{ path: "/", errors: ["error.expected.jsobject"] }]);
    const reader = new JsonReader(body, "", problems);
    const ids = reader.strings("ids");
    if (ids === undefined) reader.missing("ids");
    if (!problems.empty || ids === undefined) throw wrongTypes(problems.list);
    for (const id of ids) {
      if (parseTaskId(id) === undefined)
        throw badRequest(`Invalid task id '${id}'. [unable to extract instanceId from this id]`);
    }
    return this.#killed(
      [...new Set(ids)].flatMap((id) => state.instanceOfTask(id) ?? []),
      options,
    );
  }

  async #killed(instances: readonly Instance[], options: KillOptions): Promise<Reply> {
    const tasks = instances.map((instance) => this.#parts.view.task(instance));
    const result = await this.#kill(instances, options);
    return result === undefined ? { json: { tasks } } : deploymentReply(result);
  }

  /** With `scale` a deployment that lowers the number of instances; without it they are replaced. */
  async #kill(instances: readonly Instance[], options: KillOptions): Promise<DeploymentResult | undefined> {
    const { engine, conductor, service } = this.#parts;
    if (options.scale) {
      const perApp = Map.groupBy(instances, ({ appId }) => appId);
      return service.change((apps, now) => scaleDown(apps, perApp, now), {
        force: options.force,
        kills: instances.map(({ id }) => id),
      });
    }
    await engine.state.exclusive(async () => {
      for (const { id } of instances) await conductor.kill(id, "killed-by-user");
    });
    engine.poke();
    return undefined;
  }

  #lines(context: RouteContext, apps: readonly App[]): Reply {
    const { state } = this.#parts.engine;
    const networks = new Set((context.query.get("containerNetworks") ?? "*").split(","));
    return { text: apps.map((app) => taskLines(app, state.instancesOf(app.id), networks)).join("") };
  }
}

function scaleDown(apps: Map<AppId, App>, killed: ReadonlyMap<AppId, readonly Instance[]>, now: App["version"]): void {
  for (const [id, instances] of killed) {
    const app = apps.get(id);
    if (app === undefined) continue;
    const alive = instances.filter(({ goal }) => goal === "Running").length;
    const left = Math.max(0, app.instances - alive);
    apps.set(id, { ...app, instances: left, version: now, versionInfo: { ...app.versionInfo, lastScalingAt: now } });
  }
}

interface KillOptions {
  readonly scale: boolean;
  readonly force: boolean;
}

function killOptions(context: RouteContext): KillOptions {
  const scale = context.flag("scale");
  if (scale && context.flag("wipe")) throw badRequest("You cannot use scale and wipe at the same time.");
  return { scale, force: context.flag("force") };
}

function statusOf(instance: Instance): string {
  if (instance.condition === "Running") return "running";
  return ["Provisioned", "Staging", "Starting"].includes(instance.condition)
    ? "staging"
    : instance.condition.toLowerCase();
}

/** Only who asks for text and not for JSON gets it: `*∕*` means JSON. */
function wantsText({ request }: RouteContext): boolean {
  const accept = request.headers.get("Accept") ?? "";
  return accept.includes("text/plain") && !accept.includes("application/json");
}
