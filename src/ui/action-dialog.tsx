/** Scale, restart, destroy: each asks first; what the API refuses is shown in the dialog, and a lock can be overridden. */

import { type FormEvent, useState } from "react";
import { type App, api, RefusedRequest } from "./api.ts";
import { Dialog } from "./dialog.tsx";
import { Notice } from "./notice.tsx";

export type AppAction = "scale" | "restart" | "destroy";

const texts: Readonly<Record<AppAction, { readonly title: string; readonly button: string; readonly busy: string }>> = {
  scale: { title: "Scale Application", button: "Scale", busy: "Scaling …" },
  restart: { title: "Restart Application", button: "Restart", busy: "Restarting …" },
  destroy: { title: "Destroy Application", button: "Destroy", busy: "Destroying …" },
};

interface ActionDialogProps {
  readonly app: App;
  readonly action: AppAction;
  readonly onClose: (done: boolean) => void;
}

export function ActionDialog({ app, action, onClose }: ActionDialogProps) {
  const [instances, setInstances] = useState(String(app.instances));
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<RefusedRequest>();
  const force = refused?.locked === true;
  const text = texts[action];

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      await carryOut(app.id, action, Number(instances), force);
      onClose(true);
    } catch (error) {
      setRefused(error instanceof RefusedRequest ? error : new RefusedRequest(0, String(error)));
      setBusy(false);
    }
  };

  return (
    <Dialog title={text.title} onClose={() => onClose(false)}>
      <form onSubmit={submit} noValidate>
        <Notice text={refused?.fields["/instances"]?.join(" ") ?? refused?.message} />
        {action === "scale" && (
          <label>
            How many instances of <code>{app.id}</code>?
            <input
              type="number"
              min="0"
              step="1"
              value={instances}
              onChange={(event) => setInstances(event.target.value)}
              autoFocus
            />
          </label>
        )}
        {action === "restart" && (
          <p>
            All instances of <code>{app.id}</code> are replaced by new ones, as its upgrade strategy says. They get new
            addresses.
          </p>
        )}
        {action === "destroy" && (
          <p>
            All instances of <code>{app.id}</code> are stopped and its definition is removed. This cannot be undone.
          </p>
        )}
        {force && <p className="hint">A deployment of this application is running. Going on stops that deployment.</p>}
        <div className="buttons">
          <button type="button" onClick={() => onClose(false)}>
            Cancel
          </button>
          <button type="submit" className={action === "destroy" ? "danger" : "primary"} disabled={busy}>
            {busy ? text.busy : force ? `Stop Deployment and ${text.button}` : text.button}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function carryOut(appId: string, action: AppAction, instances: number, force: boolean): Promise<unknown> {
  switch (action) {
    case "scale":
      return api.scale(appId, instances, force);
    case "restart":
      return api.restart(appId, force);
    case "destroy":
      return api.destroy(appId, force);
  }
}
