/**
 * status/ tells others how this host is: the process and its endpoints in the store under Felix' keys, endpoints as files on
 * the host, CalicoNodeStatus objects that ask. Nothing here is needed for enforcement: what cannot be told is tried again.
 */
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { TaskScope } from "../../base/task-scope.ts";
import { allRoutes } from "../../kernel/all-routes.ts";
import { hostInterfaces } from "../../kernel/host-interfaces.ts";
import type { KeyValue, Store } from "../../store/store.ts";
import type { AgentSettings } from "../agent-settings.ts";
import { EndpointStatusFiles } from "./endpoint-status-files.ts";
import { type EndpointState, EndpointStatusKeys } from "./endpoint-status-keys.ts";
import { LocalEndpoints } from "./local-endpoints.ts";
import { NodeStatusResources } from "./node-status-resources.ts";
import { ProcessStatus } from "./process-status.ts";

export interface StatusReportsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly settings: () => AgentSettings;
  readonly stateOf: (key: string) => EndpointState;
  /** The endpoints are known and the kernel has had its first complete state. */
  readonly ready: () => boolean;
}

export class StatusReports implements Disposable {
  readonly #endpoints: LocalEndpoints;
  readonly #process: ProcessStatus;
  readonly #keys: EndpointStatusKeys;
  readonly #files: EndpointStatusFiles;
  readonly #resources: NodeStatusResources;

  constructor(options: StatusReportsOptions) {
    this.#endpoints = new LocalEndpoints(options.host);
    const endpoints = () => this.#endpoints.all;
    this.#process = new ProcessStatus(options);
    this.#keys = new EndpointStatusKeys({ ...options, endpoints });
    this.#files = new EndpointStatusFiles({ ...options, endpoints });
    this.#resources = new NodeStatusResources({ ...options, routes: localRoutes });
  }

  run(scope: TaskScope): void {
    for (const [name, part] of [
      ["process status", this.#process],
      ["endpoint status", this.#keys],
      ["endpoint status files", this.#files],
      ["node status", this.#resources],
    ] as const) {
      scope.run(name, (signal) => part.run(signal));
    }
  }

  /** The value of a key of the store now. */
  update(key: string, kv: KeyValue | undefined): void {
    this.#endpoints.update(key, kv?.value);
    this.#resources.update(key, kv);
  }

  /** The kernel was brought to what is wanted. */
  applied(): void {
    this.#files.changed();
  }

  status(): object {
    const { lastError } = this.#files;
    return {
      processReportError: this.#process.lastError ?? null,
      endpointFilesError: lastError === undefined ? null : describeError(lastError),
    };
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}

function localRoutes() {
  const names = new Map(hostInterfaces().map(({ index, name }) => [index, name]));
  return { routes: allRoutes(), interfaceName: (index: number) => names.get(index) ?? "" };
}
