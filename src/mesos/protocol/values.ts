/** Small value messages of the Mesos v1 API that many others are built of: labels, parameters, times, attributes. */

export interface Label {
  readonly key: string;
  readonly value?: string | undefined;
}
/** Always `{"labels":[...]}` in v1 JSON, never a bare list. */
export interface Labels {
  readonly labels?: readonly Label[] | undefined;
}
export interface Parameter {
  readonly key: string;
  readonly value: string;
}
export interface Parameters {
  readonly parameter?: readonly Parameter[] | undefined;
}
/** Nanoseconds exceed 2^53 for points in time: below a microsecond they are not exact here, which nobody relies on. */
export interface TimeInfo {
  readonly nanoseconds: number;
}
export interface DurationInfo {
  readonly nanoseconds: number;
}
export interface Scalar {
  readonly value: number;
}
/** Both ends belong to the range. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}
export interface Ranges {
  readonly range?: readonly Range[] | undefined;
}
export interface ValueSet {
  readonly item?: readonly string[] | undefined;
}
export interface Text {
  readonly value: string;
}
export type ValueType = "SCALAR" | "RANGES" | "SET" | "TEXT";

/** Attributes keep their order and may repeat a name; type SET does not occur. */
export interface Attribute {
  readonly name: string;
  readonly type: ValueType;
  readonly scalar?: Scalar | undefined;
  readonly ranges?: Ranges | undefined;
  readonly set?: ValueSet | undefined;
  readonly text?: Text | undefined;
}
export interface Address {
  readonly hostname?: string | undefined;
  readonly ip?: string | undefined;
  readonly port: number;
}
export interface URL {
  readonly scheme: string;
  readonly address: Address;
  readonly path?: string | undefined;
  readonly query?: readonly Parameter[] | undefined;
  readonly fragment?: string | undefined;
}
export interface DomainInfo {
  readonly fault_domain?:
    | { readonly region: { readonly name: string }; readonly zone: { readonly name: string } }
    | undefined;
}
export interface Unavailability {
  readonly start: TimeInfo;
  readonly duration?: DurationInfo | undefined;
}
