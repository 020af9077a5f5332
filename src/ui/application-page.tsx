/** One application: its instances with host, address and health; scale, restart, destroy; its definition. */

import { useState } from "react";
import { ActionDialog, type AppAction } from "./action-dialog.tsx";
import { type App, api, type QueueEntry, RefusedRequest, type Task } from "./api.ts";
import { addressesOf, agoText, statusOf, taskHealth, taskState, waitReason } from "./app-state.ts";
import { HealthBar } from "./health-bar.tsx";
import { Notice } from "./notice.tsx";
import { usePolled } from "./polled.ts";

async function appAndQueue(id: string, signal: AbortSignal) {
  const [app, queue] = await Promise.all([api.app(id, signal), api.queue(signal)]);
  return { app, queued: queue.find((entry) => entry.app.id === app.id) };
}

export function ApplicationPage({ appId }: { readonly appId: string }) {
  const { answer, error, refresh } = usePolled((signal) => appAndQueue(appId, signal), `app ${appId}`);
  const [action, setAction] = useState<AppAction>();
  if (error instanceof RefusedRequest && error.status === 404) {
    return (
      <p className="empty">
        There is no application <code>{appId}</code>. <a href="#/apps">To the applications</a>
      </p>
    );
  }
  if (answer === undefined)
    return error === undefined ? <p className="empty">Loading …</p> : <Notice text={error.message} />;
  const { app, queued } = answer;
  return (
    <>
      <Head app={app} queued={queued} onAction={setAction} />
      <Notice text={error?.message} />
      {app.lastTaskFailure !== undefined && <LastFailure failure={app.lastTaskFailure} />}
      <h2>Instances</h2>
      <Instances tasks={app.tasks ?? []} current={app.version} />
      <details>
        <summary>Configuration</summary>
        <pre>{JSON.stringify(definitionOf(app), null, 2)}</pre>
      </details>
      {action !== undefined && (
        <ActionDialog
          app={app}
          action={action}
          onClose={(done) => {
            setAction(undefined);
            if (done && action === "destroy") window.location.hash = "#/apps";
            else refresh();
          }}
        />
      )}
    </>
  );
}

function Head(props: {
  readonly app: App;
  readonly queued: QueueEntry | undefined;
  readonly onAction: (action: AppAction) => void;
}) {
  const { app, queued, onAction } = props;
  const status = statusOf(app, queued);
  const reason = waitReason(queued);
  return (
    <>
      <nav className="crumbs">
        <a href="#/apps">Applications</a> › {app.id}
      </nav>
      <div className="heading">
        <h1>{app.id}</h1>
        <div className="actions">
          <button type="button" onClick={() => onAction("scale")}>
            Scale
          </button>
          <button type="button" onClick={() => onAction("restart")}>
            Restart
          </button>
          <button type="button" className="danger" onClick={() => onAction("destroy")}>
            Destroy
          </button>
        </div>
      </div>
      <div className="summary">
        <span className={`status ${status.toLowerCase()}`}>{status}</span>
        <span>
          {app.tasksRunning ?? 0} of {app.instances} instances
        </span>
        <HealthBar app={app} />
      </div>
      {reason !== undefined && <p className="hint">{reason}</p>}
    </>
  );
}

function Instances({ tasks, current }: { readonly tasks: readonly Task[]; readonly current: string | undefined }) {
  if (tasks.length === 0) return <p className="empty">No instance is running.</p>;
  const sorted = [...tasks].sort((a, b) => a.id.localeCompare(b.id));
  return (
    <table>
      <thead>
        <tr>
          <th>ID</th>
          <th>Host</th>
          <th>IP Addresses</th>
          <th>Health</th>
          <th>Status</th>
          <th>Version</th>
          <th>Started</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((task) => (
          <tr key={task.id} data-task={task.id}>
            <td>
              <code>{task.id}</code>
            </td>
            <td>{task.host}</td>
            <td>{addressesOf(task).join(", ") || "—"}</td>
            <td>
              <span className={`dot ${taskHealth(task)}`}>{taskHealth(task)}</span>
              <small className="under">{task.healthCheckResults?.find(({ alive }) => !alive)?.lastFailureCause}</small>
            </td>
            <td>{taskState(task)}</td>
            <td>{task.version === current ? "current" : "outdated"}</td>
            <td>
              <Ago time={task.startedAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Ago({ time }: { readonly time: string | undefined }) {
  if (time === undefined) return "—";
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {agoText(Date.parse(time), Date.now())}
    </time>
  );
}

function LastFailure({ failure }: { readonly failure: NonNullable<App["lastTaskFailure"]> }) {
  const when = failure.timestamp === undefined ? "" : ` at ${new Date(failure.timestamp).toLocaleString()}`;
  return (
    <p className="hint">
      Last failure{when}
      {failure.host === undefined ? "" : ` on ${failure.host}`}: {failure.state} {failure.message}
    </p>
  );
}

function definitionOf(app: App): unknown {
  const derived = /^(tasks.*|deployments|lastTaskFailure|versionInfo)$/;
  return Object.fromEntries(Object.entries(app).filter(([name]) => !derived.test(name)));
}
