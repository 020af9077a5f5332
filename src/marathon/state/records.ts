/**
 * What Marathon keeps, and where: `/margay/marathon/...` in the store, JSON values (reference: marathon-behaviour 12).
 *
 * - An instance's record is written before its launch is sent: after a crash reconciliation tells what became of it.
 * - An app, its version and its deployment are written in one transaction: there is no half request.
 * - Unknown or damaged records stop the start: a scheduler that forgets instances would run them twice.
 */

import { OperationError } from "../../base/errors.ts";
import type { KeyValue, Operation, Store } from "../../store/store.ts";
import type { App } from "../app/app.ts";
import { type AppId, type InstanceId, safeId, type Timestamp } from "../app/app-id.ts";
import { isObject } from "../app/json-reader.ts";
import type { Deployment } from "../plan/deployment.ts";
import type { Instance } from "../plan/instance.ts";

const root = "/margay/marathon/";
const frameworkKey = `${root}framework-id`;
const appPrefix = `${root}apps/`;
const versionPrefix = `${root}app-versions/`;
const instancePrefix = `${root}instances/`;
const deploymentPrefix = `${root}deployments/`;
const failurePrefix = `${root}task-failures/`;

/** The last failure of an app's task, as the API shows it. */
export interface TaskFailure {
  readonly appId: AppId;
  readonly host: string;
  readonly message: string;
  readonly state: string;
  readonly taskId: string;
  readonly timestamp: Timestamp;
  readonly version: Timestamp;
  readonly slaveId: string;
}

export interface StoredState {
  readonly frameworkId: string | undefined;
  readonly apps: ReadonlyMap<AppId, App>;
  readonly versions: ReadonlyMap<AppId, ReadonlyMap<Timestamp, App>>;
  readonly instances: ReadonlyMap<InstanceId, Instance>;
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly failures: ReadonlyMap<AppId, TaskFailure>;
}

export const put = {
  frameworkId: (id: string): Operation => ({ put: frameworkKey, value: id }),
  app: (app: App): Operation => ({ put: appPrefix + safeId(app.id), value: JSON.stringify(app) }),
  version: (app: App): Operation => ({ put: versionKey(app.id, app.version), value: JSON.stringify(app) }),
  instance: (instance: Instance): Operation => ({ put: instancePrefix + instance.id, value: JSON.stringify(instance) }),
  deployment: (deployment: Deployment): Operation => ({
    put: deploymentPrefix + deployment.id,
    value: JSON.stringify(deployment),
  }),
  failure: (failure: TaskFailure): Operation => ({
    put: failurePrefix + safeId(failure.appId),
    value: JSON.stringify(failure),
  }),
};

export const remove = {
  frameworkId: (): Operation => ({ delete: frameworkKey }),
  /** With its versions and last failure. */
  app: (id: AppId): readonly Operation[] => [
    { delete: appPrefix + safeId(id) },
    { deletePrefix: `${versionPrefix}${safeId(id)}/` },
    { delete: failurePrefix + safeId(id) },
  ],
  version: (id: AppId, version: Timestamp): Operation => ({ delete: versionKey(id, version) }),
  instance: (id: InstanceId): Operation => ({ delete: instancePrefix + id }),
  deployment: (id: string): Operation => ({ delete: deploymentPrefix + id }),
};

function versionKey(id: AppId, version: Timestamp): string {
  return `${versionPrefix}${safeId(id)}/${version}`;
}

export async function loadState(store: Store, signal?: AbortSignal): Promise<StoredState> {
  const { kvs } = await store.list(root, signal === undefined ? {} : { signal });
  const apps = new Map<AppId, App>();
  const versions = new Map<AppId, Map<Timestamp, App>>();
  const instances = new Map<InstanceId, Instance>();
  const deployments = new Map<string, Deployment>();
  const failures = new Map<AppId, TaskFailure>();
  let frameworkId: string | undefined;
  for (const kv of kvs) {
    if (kv.key === frameworkKey) frameworkId = kv.value;
    else if (kv.key.startsWith(appPrefix)) {
      const app = parse<App>(kv, ["id", "version", "replaceBefore", "networks"]);
      apps.set(app.id, app);
    } else if (kv.key.startsWith(versionPrefix)) {
      const app = parse<App>(kv, ["id", "version", "networks"]);
      const ofApp = versions.get(app.id) ?? new Map<Timestamp, App>();
      versions.set(app.id, ofApp.set(app.version, app));
    } else if (kv.key.startsWith(instancePrefix)) {
      const instance = parse<Instance>(kv, ["id", "appId", "taskId", "agentId", "goal", "condition"]);
      instances.set(instance.id, instance);
    } else if (kv.key.startsWith(deploymentPrefix)) {
      const deployment = parse<Deployment>(kv, ["id", "steps", "currentStep", "original"]);
      deployments.set(deployment.id, deployment);
    } else if (kv.key.startsWith(failurePrefix)) {
      const failure = parse<TaskFailure>(kv, ["appId", "taskId"]);
      failures.set(failure.appId, failure);
    }
  }
  return { frameworkId, apps, versions, instances, deployments, failures };
}

/** Our own records, written by put above: what is checked is that they are what they say, not every field. */
function parse<Record>(kv: KeyValue, fields: readonly string[]): Record {
  let value: unknown;
  try {
    value = JSON.parse(kv.value);
  } catch (cause) {
    throw damaged(kv.key, "it is not JSON", cause);
  }
  const missing = isObject(value) ? fields.find((field) => value[field] === undefined) : "everything";
  if (missing !== undefined) throw damaged(kv.key, `${missing} is missing`);
  return value as Record;
}

function damaged(key: string, problem: string, cause?: unknown): OperationError {
  return new OperationError("MARATHON_RECORD_DAMAGED", `the record ${key} cannot be used: ${problem}`, {
    cause,
    remedy: "restore it, or delete it and kill its task by hand",
  });
}
