/**
 * The identifiers of the Mesos v1 API, as they are on the wire: one `value` each, opaque to everybody but their maker.
 * The spelling of names (`FrameworkID`, `agent_id`) is Mesos' own; v1 says "agent" where the unversioned endpoints say "slave".
 */

export interface Identifier {
  readonly value: string;
}
export type FrameworkID = Identifier;
export type AgentID = Identifier;
export type OfferID = Identifier;
export type TaskID = Identifier;
export type ExecutorID = Identifier;
export type OperationID = Identifier;

export interface ContainerID {
  readonly value: string;
  readonly parent?: ContainerID | undefined;
}
