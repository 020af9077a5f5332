/** Why one resource could not be written, in the words of Calico's clients (calico-datastore.md 1.5). */

import type { Kind } from "../../../model/kinds.ts";

export interface ResourceId {
  readonly kind: Kind;
  readonly name: string;
  readonly namespace?: string;
}

export class ResourceError extends Error {
  readonly reason: "exists" | "missing" | "conflict" | "unsupported" | "invalid";

  constructor(reason: ResourceError["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Kind(name) or Kind(namespace/name) */
export function idText({ kind, name, namespace }: ResourceId): string {
  return namespace === undefined ? `${kind}(${name})` : `${kind}(${namespace}/${name})`;
}

export function alreadyExists(id: ResourceId): ResourceError {
  return new ResourceError("exists", `resource already exists: ${idText(id)} with error: <nil>`);
}

export function doesNotExist(id: ResourceId): ResourceError {
  return new ResourceError("missing", `resource does not exist: ${idText(id)} with error: <nil>`);
}

export function updateConflict(id: ResourceId): ResourceError {
  return new ResourceError("conflict", `update conflict: ${idText(id)}`);
}

export function notSupported(operation: string, what: string, why: string): ResourceError {
  return new ResourceError("unsupported", `operation ${operation} is not supported on ${what}: ${why}`);
}
