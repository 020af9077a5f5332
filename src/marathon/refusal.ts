/**
 * The one place where a refusal takes the old interface's shape: a status and `{"message": ..., "details"?: ...}`
 * (reference: marathon 2.4). Everything the API turns down is thrown as a Refusal; nothing has been changed by then.
 */

/** One field of the document and what is wrong with it; paths look like `/healthChecks(0)/port`, the whole is `/`. */
export interface Problem {
  readonly path: string;
  readonly errors: readonly string[];
}

export class Refusal extends Error {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    more: Readonly<Record<string, unknown>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.body = { message, ...more };
    this.headers = headers;
  }
}

export function malformedJson(details: string): Refusal {
  return new Refusal(400, "Invalid JSON", { details });
}

/** The JSON is well-formed but of the wrong types. */
export function wrongTypes(problems: readonly Problem[]): Refusal {
  return new Refusal(400, "Invalid JSON", { details: problems });
}

export function badRequest(message: string): Refusal {
  return new Refusal(400, message);
}

export function notValid(problems: readonly Problem[]): Refusal {
  return new Refusal(422, "Object is not valid", { details: problems });
}

export function unprocessable(message: string): Refusal {
  return new Refusal(422, message);
}

export function appUnknown(id: string, version?: string): Refusal {
  return new Refusal(404, `App '${id}' does not exist${version === undefined ? "" : ` in version ${version}`}`);
}

export function notFound(message: string): Refusal {
  return new Refusal(404, message);
}

export function alreadyExists(id: string): Refusal {
  return new Refusal(409, `An app with id [${id}] already exists.`);
}

export function locked(deploymentIds: readonly string[]): Refusal {
  const message =
    "App is locked by one or more deployments. Override with the option '?force=true'. " +
    "View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
  return new Refusal(409, message, { deployments: deploymentIds.map((id) => ({ id })) });
}

export function tooManyDeployments(max: number): Refusal {
  return new Refusal(
    403,
    `Max number (${max}) of running deployments is achieved. Wait for existing deployments to complete or cancel one ` +
      "using force=true parameter. You can increase max deployment number by using --max_running_deployments parameter.",
  );
}

export function tooLarge(limitBytes: number): Refusal {
  return new Refusal(413, `The request body is larger than ${limitBytes} bytes.`);
}

/** Gathers problems by path, in the order of first mention. */
export class Problems {
  readonly #byPath = new Map<string, string[]>();

  add(path: string, error: string): void {
    const errors = this.#byPath.get(path);
    if (errors === undefined) this.#byPath.set(path, [error]);
    else if (!errors.includes(error)) errors.push(error);
  }

  get empty(): boolean {
    return this.#byPath.size === 0;
  }

  get list(): readonly Problem[] {
    return [...this.#byPath].map(([path, errors]) => ({ path, errors }));
  }
}
