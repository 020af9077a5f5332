/**
 * The web page as routes of the server that also answers Marathon's API. Bun bundles page, scripts and style, in the
 * single executable at build time. Marathon's page lived under /ui/; bookmarks to it keep working.
 */

import page from "./index.html";

export const uiRoutes = { "/": page, "/ui": page, "/ui/": page } as const;
