/**
 * What the page asks of Marathon's API, and the answers' shapes as far as the page reads them.
 * Every failure becomes a RefusedRequest with a sentence for the top of a form and sentences for its fields.
 */

export interface TaskAddress {
  readonly ipAddress: string;
  readonly protocol: string;
}

export interface HealthCheckResult {
  readonly alive: boolean;
  readonly consecutiveFailures?: number;
  readonly lastFailureCause?: string | null;
}

export interface Task {
  readonly id: string;
  readonly host: string;
  readonly state: string;
  readonly ipAddresses?: readonly TaskAddress[];
  readonly ports?: readonly number[];
  readonly stagedAt?: string;
  readonly startedAt?: string;
  readonly version?: string;
  readonly healthCheckResults?: readonly HealthCheckResult[];
}

export interface App {
  readonly id: string;
  readonly cmd?: string | null;
  readonly cpus: number;
  readonly mem: number;
  readonly instances: number;
  readonly version?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly networks?: readonly { readonly mode: string; readonly name?: string }[];
  readonly container?: { readonly docker?: { readonly image?: string } };
  readonly healthChecks?: readonly unknown[];
  readonly tasksRunning?: number;
  readonly tasksStaged?: number;
  readonly tasksHealthy?: number;
  readonly tasksUnhealthy?: number;
  readonly deployments?: readonly { readonly id: string }[];
  readonly tasks?: readonly Task[];
  readonly lastTaskFailure?: {
    readonly message?: string;
    readonly state?: string;
    readonly timestamp?: string;
    readonly host?: string;
  };
}

export interface Deployment {
  readonly id: string;
  readonly affectedApps?: readonly string[];
  readonly currentStep?: number;
  readonly totalSteps?: number;
  readonly currentActions?: readonly { readonly action: string; readonly app?: string }[];
}

export interface QueueEntry {
  readonly app: { readonly id: string };
  readonly count: number;
  readonly delay?: { readonly timeLeftSeconds?: number; readonly overdue?: boolean };
  readonly processedOffersSummary?: {
    readonly rejectSummaryLastOffers?: readonly {
      readonly reason: string;
      readonly declined: number;
      readonly processed: number;
    }[];
  };
}

/** Marathon's field error: path like "/cpus" or "/container/docker/image". */
export interface FieldErrors {
  readonly [path: string]: readonly string[];
}

export class RefusedRequest extends Error {
  readonly status: number;
  readonly fields: FieldErrors;

  constructor(status: number, message: string, fields: FieldErrors = {}) {
    super(message);
    this.name = "RefusedRequest";
    this.status = status;
    this.fields = fields;
  }

  /** A deployment holds the app: the same request with force cancels it. */
  get locked(): boolean {
    return this.status === 409 && /locked/i.test(this.message);
  }
}

const requestTimeoutMs = 15_000;

export const api = {
  apps: (signal: AbortSignal) =>
    call<{ apps: App[] }>("GET", "/v2/apps?embed=apps.counts&embed=apps.deployments", { signal }).then(
      ({ apps }) => apps,
    ),
  app: (id: string, signal: AbortSignal) =>
    call<{ app: App }>(
      "GET",
      `${appPath(id)}?embed=app.tasks&embed=app.counts&embed=app.deployments&embed=app.lastTaskFailure`,
      { signal },
    ).then(({ app }) => app),
  deployments: (signal: AbortSignal) => call<Deployment[]>("GET", "/v2/deployments", { signal }),
  queue: (signal: AbortSignal) =>
    call<{ queue: QueueEntry[] }>("GET", "/v2/queue", { signal }).then(({ queue }) => queue),
  create: (app: unknown) => call<App>("POST", "/v2/apps", { body: app }),
  scale: (id: string, instances: number, force: boolean) =>
    call("PUT", `${appPath(id)}${forced(force)}`, { body: { instances } }),
  restart: (id: string, force: boolean) => call("POST", `${appPath(id)}/restart${forced(force)}`, { body: { force } }),
  destroy: (id: string, force: boolean) => call("DELETE", `${appPath(id)}${forced(force)}`, {}),
};

function appPath(id: string): string {
  return `/v2/apps/${id.replace(/^\//, "").split("/").map(encodeURIComponent).join("/")}`;
}

function forced(force: boolean): string {
  return force ? "?force=true" : "";
}

async function call<Answer>(
  method: string,
  path: string,
  options: { body?: unknown; signal?: AbortSignal },
): Promise<Answer> {
  const limits = [AbortSignal.timeout(requestTimeoutMs), ...(options.signal === undefined ? [] : [options.signal])];
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      signal: AbortSignal.any(limits),
      ...(options.body === undefined
        ? {}
        : { body: JSON.stringify(options.body), headers: { "Content-Type": "application/json" } }),
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new RefusedRequest(0, "Margay does not answer. It may be restarting; this page keeps trying.");
  }
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as Answer;
  throw refusalOf(response.status, text);
}

/** Reads Marathon's error shapes: `{message}` and `{message, details: [{path, errors}]}`. */
export function refusalOf(status: number, text: string): RefusedRequest {
  try {
    const { message, details } = JSON.parse(text) as { message?: unknown; details?: unknown };
    const fields: Record<string, string[]> = {};
    for (const detail of Array.isArray(details) ? details : []) {
      const { path, errors } = detail as { path?: unknown; errors?: unknown };
      if (typeof path === "string" && Array.isArray(errors)) fields[path] = errors.map(String);
    }
    return new RefusedRequest(status, typeof message === "string" ? message : JSON.stringify(message ?? text), fields);
  } catch {
    return new RefusedRequest(
      status,
      text.trim() === "" ? `The request was refused (status ${status}).` : text.slice(0, 500),
    );
  }
}
