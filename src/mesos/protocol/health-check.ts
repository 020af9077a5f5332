/** Health checks (which kill) and checks (which only report) of a task, as in the Mesos v1 API. Absent times have these defaults. */

import type { CommandInfo } from "./command-info.ts";
import type { IpProtocol } from "./container-info.ts";

export const healthCheckDefaults = {
  delay_seconds: 15,
  interval_seconds: 10,
  timeout_seconds: 20,
  consecutive_failures: 3,
  grace_period_seconds: 10,
} as const;

export type CheckType = "UNKNOWN" | "COMMAND" | "HTTP" | "TCP";

/** HTTP succeeds on status 200 to 399, TCP on connect, COMMAND on exit 0. */
export interface HealthCheck {
  /** Absent with `http` or `command` set: typed from it, for old clients. */
  readonly type?: CheckType | undefined;
  readonly command?: CommandInfo | undefined;
  readonly http?:
    | {
        readonly protocol?: IpProtocol | undefined;
        readonly scheme?: string | undefined;
        readonly port: number;
        readonly path?: string | undefined;
        readonly statuses?: readonly number[] | undefined;
      }
    | undefined;
  readonly tcp?: { readonly protocol?: IpProtocol | undefined; readonly port: number } | undefined;
  readonly delay_seconds?: number | undefined;
  readonly interval_seconds?: number | undefined;
  readonly timeout_seconds?: number | undefined;
  readonly consecutive_failures?: number | undefined;
  readonly grace_period_seconds?: number | undefined;
}
export interface CheckInfo {
  readonly type?: CheckType | undefined;
  readonly command?: { readonly command: CommandInfo } | undefined;
  readonly http?: { readonly port: number; readonly path?: string | undefined } | undefined;
  readonly tcp?: { readonly port: number } | undefined;
  readonly delay_seconds?: number | undefined;
  readonly interval_seconds?: number | undefined;
  readonly timeout_seconds?: number | undefined;
}
export interface CheckStatusInfo {
  readonly type?: CheckType | undefined;
  readonly command?: { readonly exit_code?: number | undefined } | undefined;
  readonly http?: { readonly status_code?: number | undefined } | undefined;
  readonly tcp?: { readonly succeeded?: boolean | undefined } | undefined;
}
