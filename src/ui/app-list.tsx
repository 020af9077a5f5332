/** All applications: state, instances, health; what they wait for; search by id. */

import { useState } from "react";
import { type App, api, type QueueEntry } from "./api.ts";
import { statusOf, waitReason } from "./app-state.ts";
import { HealthBar } from "./health-bar.tsx";
import { Notice } from "./notice.tsx";
import { usePolled } from "./polled.ts";
import { appHref, setModal } from "./route.ts";

async function appsAndQueue(signal: AbortSignal) {
  const [apps, queue] = await Promise.all([api.apps(signal), api.queue(signal)]);
  return { apps, queue };
}

export function AppList() {
  const { answer, error } = usePolled(appsAndQueue, "apps");
  const [filter, setFilter] = useState("");
  if (answer === undefined)
    return error === undefined ? <p className="empty">Loading …</p> : <Notice text={error.message} />;
  const shown = answer.apps.filter(({ id }) => id.includes(filter.trim())).sort((a, b) => a.id.localeCompare(b.id));
  return (
    <>
      <div className="heading">
        <h1>Applications</h1>
        <input
          type="search"
          aria-label="Search by id"
          placeholder="Search by id"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      </div>
      <Notice text={error?.message} />
      {answer.apps.length === 0 ? (
        <div className="empty">
          <p>No application yet.</p>
          <button type="button" className="primary" onClick={() => setModal("new-app")}>
            Create Application
          </button>
        </div>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Name</th>
              <th className="number">CPU</th>
              <th className="number">Memory</th>
              <th>Status</th>
              <th>Running Instances</th>
              <th>Health</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((app) => (
              <Row key={app.id} app={app} queued={answer.queue.find((entry) => entry.app.id === app.id)} />
            ))}
          </tbody>
        </table>
      )}
      {answer.apps.length > 0 && shown.length === 0 && <p className="empty">No application matches “{filter}”.</p>}
    </>
  );
}

function Row({ app, queued }: { readonly app: App; readonly queued: QueueEntry | undefined }) {
  const status = statusOf(app, queued);
  const reason = waitReason(queued);
  return (
    <tr data-app={app.id}>
      <td>
        <a className="name" href={appHref(app.id)}>
          {app.id}
        </a>
        {Object.entries(app.labels ?? {}).map(([key, value]) => (
          <span key={key} className="chip">
            {value === "" ? key : `${key}: ${value}`}
          </span>
        ))}
        <small className="under">{app.container?.docker?.image ?? app.cmd}</small>
      </td>
      <td className="number">{rounded(app.cpus * app.instances)}</td>
      <td className="number">{rounded(app.mem * app.instances)} MiB</td>
      <td>
        <span className={`status ${status.toLowerCase()}`}>{status}</span>
        {reason !== undefined && <small className="under">{reason}</small>}
      </td>
      <td>
        {app.tasksRunning ?? 0} of {app.instances}
      </td>
      <td>
        <HealthBar app={app} />
      </td>
    </tr>
  );
}

function rounded(number: number): string {
  return String(Math.round(number * 100) / 100);
}
