/** Hash routes, with Marathon's own URLs: #/apps, #/apps/%2Fid, #/deployments, and ?modal=new-app on each. */

import { useSyncExternalStore } from "react";

export type Route =
  | { readonly page: "apps" }
  | { readonly page: "app"; readonly appId: string }
  | { readonly page: "deployments" }
  | { readonly page: "unknown"; readonly hash: string };

export interface Place {
  readonly route: Route;
  readonly modal: string | undefined;
}

export function parseHash(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  const modal = new URLSearchParams(query).get("modal") ?? undefined;
  return { route: routeOf(path), modal };
}

export function appHref(appId: string): string {
  return `#/apps/${encodeURIComponent(appId)}`;
}

export function usePlace(): Place {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return parseHash(hash);
}

/** Opens or closes a dialog over the page that is shown. */
export function setModal(modal: string | undefined): void {
  const path = window.location.hash.split("?")[0] || "#/apps";
  window.location.hash = modal === undefined ? path : `${path}?modal=${modal}`;
}

function routeOf(path: string): Route {
  const [, first, second] = path.split("/");
  if (first === undefined || first === "") return { page: "apps" };
  if (first === "deployments") return { page: "deployments" };
  if (first !== "apps") return { page: "unknown", hash: path };
  if (second === undefined || second === "") return { page: "apps" };
  try {
    return { page: "app", appId: decodeURIComponent(second) };
  } catch {
    return { page: "unknown", hash: path };
  }
}

function subscribe(onChange: () => void): () => void {
  window.addEventListener("hashchange", onChange);
  return () => window.removeEventListener("hashchange", onChange);
}
