/** The page: top bar, the place that the URL names, and the dialog that lies over it. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { AppList } from "./app-list.tsx";
import { ApplicationPage } from "./application-page.tsx";
import { CreateDialog } from "./create-dialog.tsx";
import { DeploymentsPage } from "./deployments-page.tsx";
import { type Place, setModal, usePlace } from "./route.ts";

function Page() {
  const place = usePlace();
  return (
    <>
      <header className="top">
        <a className="logo" href="#/apps">
          margay
        </a>
        <nav>
          <a
            href="#/apps"
            aria-current={place.route.page === "apps" || place.route.page === "app" ? "page" : undefined}
          >
            Applications
          </a>
          <a href="#/deployments" aria-current={place.route.page === "deployments" ? "page" : undefined}>
            Deployments
          </a>
        </nav>
        <button type="button" className="primary" onClick={() => setModal("new-app")}>
          Create Application
        </button>
      </header>
      <main>
        <Content place={place} />
      </main>
      {place.modal === "new-app" && <CreateDialog onClose={() => setModal(undefined)} />}
    </>
  );
}

function Content({ place }: { readonly place: Place }) {
  const { route } = place;
  switch (route.page) {
    case "apps":
      return <AppList />;
    case "app":
      return <ApplicationPage appId={route.appId} />;
    case "deployments":
      return <DeploymentsPage />;
    case "unknown":
      return (
        <p className="empty">
          There is no page <code>{route.hash}</code>. <a href="#/apps">To the applications</a>
        </p>
      );
  }
}

const root = document.getElementById("page");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <Page />
    </StrictMode>,
  );
}
