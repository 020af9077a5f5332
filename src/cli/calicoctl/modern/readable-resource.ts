/** A stored value as a resource of which only the envelope is known, if it can be read at all. */

import { BadInput } from "../../../base/errors.ts";
import { AnyResource, decode } from "../../../model/resource.ts";

export function readable(value: string, key: string): AnyResource | undefined {
  try {
    return decode(AnyResource, value, key);
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
