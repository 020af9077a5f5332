/** The Resource message of the Mesos v1 API. Arithmetic over lists of them is in resources.ts. */

import type { Labels, Parameters, Ranges, Scalar, ValueSet, ValueType } from "./values.ts";

export interface ReservationInfo {
  readonly type?: "UNKNOWN" | "STATIC" | "DYNAMIC" | undefined;
  readonly role?: string | undefined;
  readonly principal?: string | undefined;
  readonly labels?: Labels | undefined;
}
export interface DiskInfo {
  readonly persistence?: { readonly id: string; readonly principal?: string | undefined } | undefined;
  readonly volume?: Volume | undefined;
  readonly source?:
    | {
        readonly type: "UNKNOWN" | "PATH" | "MOUNT" | "BLOCK" | "RAW";
        readonly path?: { readonly root?: string | undefined } | undefined;
        readonly mount?: { readonly root?: string | undefined } | undefined;
        readonly vendor?: string | undefined;
        readonly id?: string | undefined;
        readonly metadata?: Labels | undefined;
        readonly profile?: string | undefined;
      }
    | undefined;
}
/** `mem` and `disk` are in MB; scalars have three decimals. */
export interface Resource {
  readonly name: string;
  readonly type: ValueType;
  readonly scalar?: Scalar | undefined;
  readonly ranges?: Ranges | undefined;
  readonly set?: ValueSet | undefined;
  readonly role?: string | undefined;
  readonly allocation_info?: { readonly role?: string | undefined } | undefined;
  readonly reservation?: ReservationInfo | undefined;
  readonly reservations?: readonly ReservationInfo[] | undefined;
  readonly disk?: DiskInfo | undefined;
  readonly revocable?: Record<string, never> | undefined;
  readonly shared?: Record<string, never> | undefined;
  readonly provider_id?: { readonly value: string } | undefined;
}

export interface Volume {
  readonly mode: "RW" | "RO";
  readonly container_path: string;
  readonly host_path?: string | undefined;
  readonly image?: Image | undefined;
  readonly source?: VolumeSource | undefined;
}
export interface VolumeSource {
  readonly type?: "UNKNOWN" | "DOCKER_VOLUME" | "HOST_PATH" | "SANDBOX_PATH" | "SECRET" | "CSI_VOLUME" | undefined;
  readonly docker_volume?:
    | {
        readonly driver?: string | undefined;
        readonly name: string;
        readonly driver_options?: Parameters | undefined;
      }
    | undefined;
  readonly host_path?:
    | {
        readonly path: string;
        readonly mount_propagation?:
          | { readonly mode?: "UNKNOWN" | "HOST_TO_CONTAINER" | "BIDIRECTIONAL" | undefined }
          | undefined;
      }
    | undefined;
  readonly sandbox_path?:
    | { readonly type?: "UNKNOWN" | "SELF" | "PARENT" | undefined; readonly path: string }
    | undefined;
  readonly secret?: Secret | undefined;
}
export interface Image {
  readonly type: "APPC" | "DOCKER";
  readonly appc?:
    | { readonly name: string; readonly id?: string | undefined; readonly labels?: Labels | undefined }
    | undefined;
  readonly docker?: { readonly name: string; readonly config?: Secret | undefined } | undefined;
  readonly cached?: boolean | undefined;
}
export interface Secret {
  readonly type?: "UNKNOWN" | "REFERENCE" | "VALUE" | undefined;
  readonly reference?: { readonly name: string; readonly key?: string | undefined } | undefined;
  /** `data` is base64. */
  readonly value?: { readonly data: string } | undefined;
}
