/** `/v2/apps` (reference: marathon 3). */

import type { App } from "../app/app.ts";
import { createdApp, namedNetworks, restartedApp, rollbackVersion, specFrom, updatedApp } from "../app/app-change.ts";
import { type AppId, parseAppId, parseTimestamp, type Timestamp } from "../app/app-id.ts";
import { type AppDocument, readAppDocument } from "../app/app-input.ts";
import { appJson } from "../app/app-json.ts";
import { parseLabelSelector } from "../app/label-selector.ts";
import type { AppsChange, DeploymentResult, DeploymentService } from "../deployment-service.ts";
import type { Engine } from "../engine.ts";
import { alreadyExists, appUnknown, badRequest, notFound, notValid, unprocessable, wrongTypes } from "../refusal.ts";
import { type AppView, type Embed, parseEmbeds, singleEmbeds } from "./app-view.ts";
import { type Reply, type Route, type RouteContext, route } from "./route.ts";

/** Networks that exist; undefined if that cannot be known here. */
export type KnownNetworks = (wanted: readonly string[]) => Promise<ReadonlySet<string> | undefined>;

export interface AppsApiParts {
  readonly engine: Engine;
  readonly service: DeploymentService;
  readonly view: AppView;
  readonly knownNetworks: KnownNetworks;
}

export function appsRoutes(parts: AppsApiParts): readonly Route[] {
  const api = new AppsApi(parts);
  return [
    route({ method: "GET", path: "/v2/apps", run: (context) => api.list(context) }),
    route({ method: "POST", path: "/v2/apps", run: (context) => api.create(context) }),
    route({ method: "PUT", path: "/v2/apps", run: (context) => api.updateSeveral(context, true) }),
    route({ method: "PATCH", path: "/v2/apps", run: (context) => api.updateSeveral(context, false) }),
    route({ method: "GET", path: "/v2/apps/{id*}/versions/{version}", run: (context) => api.version(context) }),
    route({ method: "GET", path: "/v2/apps/{id*}/versions", run: (context) => api.versions(context) }),
    route({ method: "POST", path: "/v2/apps/{id*}/restart", run: (context) => api.restart(context) }),
    route({ method: "GET", path: "/v2/apps/*", run: (context) => api.list(context) }),
    route({ method: "GET", path: "/v2/apps/{id*}/*", run: (context) => api.group(context) }),
    route({ method: "GET", path: "/v2/apps/{id*}", run: (context) => api.show(context) }),
    route({ method: "PUT", path: "/v2/apps/{id*}", run: (context) => api.update(context, true) }),
    route({ method: "PATCH", path: "/v2/apps/{id*}", run: (context) => api.update(context, false) }),
    route({ method: "DELETE", path: "/v2/apps/{id*}", run: (context) => api.destroy(context) }),
  ];
}

/** The id in a path; clients that append the absolute id give `/v2/apps//prod/web`. */
export function appIdIn(context: RouteContext): AppId {
  const text = `/${context.param("id").replaceAll(/^\/+|\/+$/g, "")}`;
  const parsed = parseAppId(text);
  if (!parsed.ok) throw appUnknown(text);
  return parsed.id;
}

export function deploymentReply(result: DeploymentResult, status = 200): Reply {
  return {
    status,
    json: { version: result.version, deploymentId: result.deploymentId },
    headers: { "Marathon-Deployment-Id": result.deploymentId },
  };
}

class AppsApi {
  readonly #parts: AppsApiParts;

  constructor(parts: AppsApiParts) {
    this.#parts = parts;
  }

  list({ query }: RouteContext): Reply {
    const { engine, view } = this.#parts;
    const selectors = query.getAll("label").map((text) => {
      const selector = parseLabelSelector(text);
      if (selector === undefined)
        throw unprocessable(`Can not parse label selector ${text}. Write key==value, key!=value, key in (a,b) or key.`);
      return selector;
    });
    const contains = (text: string, name: string) => text.toLowerCase().includes((query.get(name) ?? "").toLowerCase());
    const apps = [...engine.state.apps.values()].filter(
      (app) =>
        (!query.has("cmd") || contains(app.cmd ?? "", "cmd")) &&
        contains(app.id, "id") &&
        selectors.every((selector) => selector(app.labels)),
    );
    const embed = new Set<Embed>([...parseEmbeds(query.getAll("embed")), "counts", "deployments"]);
    return { json: { apps: view.apps(apps, embed) } };
  }

  group(context: RouteContext): Reply {
    const { engine, view } = this.#parts;
    const group = appIdIn(context);
    const apps = [...engine.state.apps.values()].filter(({ id }) => id.startsWith(`${group}/`));
    if (apps.length === 0) throw notFound(`Group '${group}' does not exist`);
    const embed = new Set<Embed>([...parseEmbeds(context.query.getAll("embed")), "counts", "deployments"]);
    return { json: { "*": view.apps(apps, embed) } };
  }

  show(context: RouteContext): Reply {
    const { view } = this.#parts;
    const app = this.#require(appIdIn(context));
    const asked = context.query.getAll("embed");
    return { json: { app: view.app(app, asked.length === 0 ? singleEmbeds : parseEmbeds(asked)) } };
  }

  async create(context: RouteContext): Promise<Reply> {
    const { service, view } = this.#parts;
    const document = readAppDocument(await requiredJson(context));
    const id = documentId(document, "");
    const known = await this.#parts.knownNetworks(namedNetworks(document));
    const result = await service.change(
      (apps, now) => {
        if (apps.has(id)) throw alreadyExists(id);
        apps.set(
          id,
          createdApp(id, specFrom(id, document, undefined, undefined, service.contextFor(id, apps, known)), now),
        );
        checkTree(id, apps);
      },
      { force: context.flag("force") },
    );
    const app = this.#require(id);
    this.#publishPost(context, app);
    return {
      status: 201,
      json: { ...view.app(app, new Set<Embed>(["counts"])), deployments: [{ id: result.deploymentId }] },
      headers: { Location: locationOf(context, id), "Marathon-Deployment-Id": result.deploymentId },
    };
  }

  async update(context: RouteContext, mayCreate: boolean): Promise<Reply> {
    const { engine, service } = this.#parts;
    const id = appIdIn(context);
    const document = readAppDocument(await requiredJson(context));
    const existed = engine.state.apps.has(id);
    if (!existed && !mayCreate) throw appUnknown(id);
    const change = await this.#updateOf(id, document, mayCreate && !context.flag("partialUpdate", true), "");
    const result = await service.change(change, { force: context.flag("force") });
    this.#publishPost(context, this.#require(id));
    const reply = deploymentReply(result, existed ? 200 : 201);
    return existed ? reply : { ...reply, headers: { ...reply.headers, Location: locationOf(context, id) } };
  }

  async updateSeveral(context: RouteContext, mayCreate: boolean): Promise<Reply> {
    const { engine, service } = this.#parts;
    const body = await requiredJson(context);
    if (!Array.isArray(body)) throw wrongTypes([{ path: "/", errors: ["error.expected.jsarray"] }]);
    const replace = mayCreate && !context.flag("partialUpdate", true);
    const changes: AppsChange[] = [];
    for (const [index, value] of body.entries()) {
      const document = readAppDocument(value, `(${index})`);
      const id = documentId(document, `(${index})`);
      if (!mayCreate && !engine.state.apps.has(id)) throw appUnknown(id);
      changes.push(await this.#updateOf(id, document, replace, `(${index})`));
    }
    const result = await service.change((apps, now) => changes.forEach((change) => void change(apps, now)), {
      force: context.flag("force"),
    });
    return deploymentReply(result);
  }

  async restart(context: RouteContext): Promise<Reply> {
    const { service } = this.#parts;
    const id = appIdIn(context);
    const body = await context.json();
    const force =
      context.flag("force") || (typeof body === "object" && body !== null && "force" in body && body.force === true);
    const result = await service.change(
      (apps, now) => {
        const app = apps.get(id);
        if (app === undefined) throw appUnknown(id);
        apps.set(id, restartedApp(app, now));
      },
      { force, restarts: [id] },
    );
    return deploymentReply(result);
  }

  async destroy(context: RouteContext): Promise<Reply> {
    const { service } = this.#parts;
    const id = appIdIn(context);
    const result = await service.change(
      (apps) => {
        if (!apps.delete(id)) throw appUnknown(id);
      },
      // Deleting wins over whatever is under way, unless told otherwise: so it has always been for apps.
      { force: context.flag("force", true) },
    );
    return deploymentReply(result);
  }

  versions(context: RouteContext): Reply {
    const { state } = this.#parts.engine;
    const { id } = this.#require(appIdIn(context));
    return { json: { versions: [...(state.versions.get(id)?.keys() ?? [])].sort().reverse() } };
  }

  version(context: RouteContext): Reply {
    const { id } = this.#require(appIdIn(context));
    return { json: appJson(this.#versionOf(id, context.param("version"))) };
  }

  async #updateOf(id: AppId, document: AppDocument, replace: boolean, path: string): Promise<AppsChange> {
    const { service } = this.#parts;
    const back = rollbackVersion(document);
    const known = await this.#parts.knownNetworks(namedNetworks(document));
    return (apps, now) => {
      const previous = apps.get(id);
      if (back !== undefined) {
        if (previous === undefined) throw appUnknown(id);
        apps.set(id, updatedApp(previous, this.#versionOf(id, back), now));
        return;
      }
      const base = replace ? undefined : previous;
      const spec = specFrom(id, document, base, previous, service.contextFor(id, apps, known, path));
      apps.set(id, previous === undefined ? createdApp(id, spec, now) : updatedApp(previous, spec, now));
      checkTree(id, apps);
    };
  }

  #versionOf(id: AppId, text: string): App {
    const version: Timestamp | undefined = parseTimestamp(text);
    if (version === undefined) {
      throw unprocessable(`Invalid timestamp provided '${text}'. Expecting ISO-8601 datetime string.`);
    }
    const app = this.#parts.engine.state.versions.get(id)?.get(version);
    if (app === undefined) throw appUnknown(id, version);
    return app;
  }

  #require(id: AppId): App {
    const app = this.#parts.engine.state.apps.get(id);
    if (app === undefined) throw appUnknown(id);
    return app;
  }

  #publishPost(context: RouteContext, app: App): void {
    this.#parts.engine.bus.publish("api_post_event", {
      clientIp: context.clientIp,
      uri: context.url.pathname,
      appDefinition: appJson(app),
    });
  }
}

async function requiredJson(context: RouteContext): Promise<unknown> {
  const body = await context.json();
  if (body === undefined) throw badRequest("Please specify data in JSON format");
  return body;
}

function documentId(document: AppDocument, path: string): AppId {
  if (document.input.id === undefined) throw wrongTypes([{ path: `${path}/id`, errors: ["error.path.missing"] }]);
  const parsed = parseAppId(document.input.id);
  if (!parsed.ok) throw notValid([{ path: `${path}/id`, errors: [parsed.error] }]);
  return parsed.id;
}

/** A path is an app or a group of apps, never both. */
function checkTree(id: AppId, apps: ReadonlyMap<AppId, App>): void {
  for (const other of apps.keys()) {
    if (other.startsWith(`${id}/`) || id.startsWith(`${other}/`)) {
      throw notValid([{ path: "/", errors: ["Groups and Applications may not have the same identifier."] }]);
    }
  }
}

function locationOf(context: RouteContext, id: AppId): string {
  return `${context.url.origin}/v2/apps${id}`;
}
