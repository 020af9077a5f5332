/** Deployments under way: what each of them changes and how far it is. */

import { api, type Deployment } from "./api.ts";
import { Notice } from "./notice.tsx";
import { usePolled } from "./polled.ts";
import { appHref } from "./route.ts";

export function DeploymentsPage() {
  const { answer, error } = usePolled(api.deployments, "deployments");
  if (answer === undefined)
    return error === undefined ? <p className="empty">Loading …</p> : <Notice text={error.message} />;
  return (
    <>
      <div className="heading">
        <h1>Deployments</h1>
      </div>
      <Notice text={error?.message} />
      {answer.length === 0 ? (
        <p className="empty">No deployment is under way.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Deployment ID</th>
              <th>Affected Applications</th>
              <th>Action</th>
              <th>Progress</th>
            </tr>
          </thead>
          <tbody>
            {answer.map((deployment) => (
              <Row key={deployment.id} deployment={deployment} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Row({ deployment }: { readonly deployment: Deployment }) {
  const { id, affectedApps = [], currentActions = [], currentStep = 1, totalSteps = 1 } = deployment;
  return (
    <tr>
      <td>
        <code>{id}</code>
      </td>
      <td>
        {affectedApps.map((app) => (
          <a key={app} href={appHref(app)}>
            {app}
          </a>
        ))}
      </td>
      <td>{currentActions.map(({ action }) => action).join(", ")}</td>
      <td>
        <progress max={Math.max(1, totalSteps)} value={Math.max(0, currentStep - 1)} /> step {currentStep} of{" "}
        {totalSteps}
      </td>
    </tr>
  );
}
