/**
 * Path ids of apps (`/prod/web`), and the ids made of them: safe ids (`prod_web`), instance ids and task ids in the
 * form of Marathon 1.8+ (reference: marathon-behaviour 1.2). Clients pick the app out of a task id, so the form is fixed.
 */

export type AppId = string & { readonly appId: true };
export type InstanceId = string & { readonly instanceId: true };
export type TaskId = string & { readonly taskId: true };
/** ISO time with milliseconds, UTC: the version of an app; unique per change, and ordered as text. */
export type Timestamp = string & { readonly timestamp: true };

export const pathIdPattern =
  "^(\\/?((\\.\\.)|(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9]))?($|\\/))+$";
const segmentPattern = /^(([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])$/;

/** A task id has at most 255 characters (Mesos); the rest of it takes 55. */
const appIdMaxLength = 200;
const reservedSegments = ["restart", "tasks", "versions"];

export type ParsedId = { readonly ok: true; readonly id: AppId } | { readonly ok: false; readonly error: string };

/** `text` relative to `base` (the root by default), with `.` and `..` resolved. */
export function parseAppId(text: string, base: readonly string[] = []): ParsedId {
  const segments: string[] = text.startsWith("/") ? [] : [...base];
  for (const segment of text.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") segments.pop();
    else if (segmentPattern.test(segment)) segments.push(segment);
    else return { ok: false, error: `must fully match regular expression '${pathIdPattern}'` };
  }
  const last = segments.at(-1);
  if (last === undefined) return { ok: false, error: "Path must contain at least one path element" };
  if (reservedSegments.includes(last)) {
    return {
      ok: false,
      error: `must not end with any of the following reserved keywords: ${reservedSegments.join(", ")}`,
    };
  }
  const id = `/${segments.join("/")}`;
  if (id.length > appIdMaxLength) return { ok: false, error: `must not be longer than ${appIdMaxLength} characters` };
  return { ok: true, id: id as AppId };
}

/** `/prod/web` is `["prod", "web"]`. */
export function segmentsOf(id: AppId): readonly string[] {
  return id.slice(1).split("/");
}

/** `/prod/web` is `prod_web`: unambiguous, because ids have no underscore. */
export function safeId(id: AppId): string {
  return segmentsOf(id).join("_");
}

export function appIdOfSafe(safe: string): AppId {
  return `/${safe.replaceAll("_", "/")}` as AppId;
}

/** `/prod/web` is `web.prod`: TaskInfo.name and the discovery name. */
export function dottedName(id: AppId): string {
  return segmentsOf(id).toReversed().join(".");
}

export function instanceIdFor(app: AppId, uuid: string): InstanceId {
  return `${safeId(app)}.instance-${uuid}` as InstanceId;
}

export function taskIdFor(instance: InstanceId, incarnation = 1): TaskId {
  return `${instance}._app.${incarnation}` as TaskId;
}

export interface TaskIdParts {
  readonly app: AppId;
  readonly instance: InstanceId;
}

const taskIdPattern = /^(([a-z0-9._-]+)\.(?:instance-|marathon-)[^.]+)(?:\.[^.]+(?:\.\d+)?)?$/;
/** The task ids of Marathon 0.7 to 1.7: `<safe id>.<uuid>`. */
const oldTaskIdPattern = /^([a-z0-9._-]+)\.[0-9a-f]{8}-[0-9a-f-]{27}(?:\.\d+)?$/;

/** Undefined if no Marathon ever made such an id. */
export function parseTaskId(text: string): TaskIdParts | undefined {
  const match = taskIdPattern.exec(text);
  if (match?.[1] !== undefined && match[2] !== undefined) {
    return { app: appIdOfSafe(match[2]), instance: match[1] as InstanceId };
  }
  const old = oldTaskIdPattern.exec(text);
  return old?.[1] === undefined ? undefined : { app: appIdOfSafe(old[1]), instance: text as InstanceId };
}

export function timestamp(ms: number): Timestamp {
  return new Date(ms).toISOString() as Timestamp;
}

export function parseTimestamp(text: string): Timestamp | undefined {
  const ms = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : timestamp(ms);
}
