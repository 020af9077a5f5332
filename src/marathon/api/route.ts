/**
 * The API's routes are declared once, here is what a route is: method, path, what it does. Matching, authentication, body
 * limits, JSON and errors are done for all of them in api-server.ts.
 */

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface RouteContext {
  readonly request: Request;
  readonly url: URL;
  readonly query: URLSearchParams;
  readonly clientIp: string;
  /** A part of the path. */
  param(name: string): string;
  /** The body as JSON; undefined if it is empty. Refuses what is no JSON or too large. */
  json(): Promise<unknown>;
  /** True for `?force=true` and `?force`. */
  flag(name: string, otherwise?: boolean): boolean;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Undefined: no body. */
  readonly json?: unknown;
  readonly text?: string;
}

export interface Route {
  readonly method: Method;
  /** `{id*}` takes one or more segments, `{name}` exactly one. */
  readonly path: string;
  /** Answered without credentials. */
  readonly open?: boolean;
  readonly run: (context: RouteContext) => Promise<Reply | Response> | Reply | Response;
}

export function route(definition: Route): Route {
  return definition;
}

export interface Match {
  readonly route: Route;
  readonly params: ReadonlyMap<string, string>;
}

export class RouteTable {
  readonly #compiled: readonly { readonly route: Route; readonly pattern: RegExp; readonly names: readonly string[] }[];

  /** More special paths come first. */
  constructor(routes: readonly Route[]) {
    this.#compiled = routes.map((one) => {
      const names: string[] = [];
      const pattern = one.path.replaceAll(
        /\{(\w+)(\*?)\}|([.*])/g,
        (_whole, name?: string, many?: string, special?: string) => {
          if (special !== undefined) return `\\${special}`;
          names.push(name ?? "");
          return many === "*" ? "(.+?)" : "([^/]+)";
        },
      );
      return { route: one, pattern: new RegExp(`^${pattern}/?$`), names };
    });
  }

  /** The route; or the methods the path does answer to; or undefined for an unknown path. */
  match(method: string, path: string): Match | { readonly allow: readonly string[] } | undefined {
    const wanted = method === "HEAD" ? "GET" : method;
    const allow = new Set<string>();
    for (const { route: one, pattern, names } of this.#compiled) {
      const found = pattern.exec(path);
      if (found === null) continue;
      if (one.method !== wanted) {
        allow.add(one.method);
        continue;
      }
      return { route: one, params: new Map(names.map((name, index) => [name, decode(found[index + 1] ?? "")])) };
    }
    return allow.size === 0 ? undefined : { allow: [...allow] };
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % names nothing we have
  }
}
