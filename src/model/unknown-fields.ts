/**
 * Fields of a document that its schema does not name. Reading lets them pass, because newer writers share the store; a
 * file somebody hands in is refused for them, because a misspelt field would silently mean nothing.
 */

import type { z } from "zod";

interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly out?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
}

/** Paths like spec.ingress[0].sorce. An object of which no field is named is not looked into. */
export function unknownFields(schema: z.ZodType, value: unknown, path = ""): readonly string[] {
  const definition = schema._zod.def as unknown as Definition;
  if (value === null || typeof value !== "object") return [];
  const inner = definition.innerType ?? (definition.type === "pipe" ? definition.out : undefined);
  if (inner !== undefined) return unknownFields(inner, value, path);
  const { element, valueType, shape } = definition;
  if (Array.isArray(value)) {
    return element === undefined ? [] : value.flatMap((one, at) => unknownFields(element, one, `${path}[${at}]`));
  }
  const members = Object.entries(value);
  const at = (member: string) => (path === "" ? member : `${path}.${member}`);
  if (definition.type === "record" && valueType !== undefined) {
    return members.flatMap(([member, one]) => unknownFields(valueType, one, at(member)));
  }
  if (shape === undefined || Object.keys(shape).length === 0) return [];
  return members.flatMap(([member, one]) => {
    const known = Object.hasOwn(shape, member) ? shape[member] : undefined;
    return known === undefined ? [at(member)] : unknownFields(known, one, at(member));
  });
}
