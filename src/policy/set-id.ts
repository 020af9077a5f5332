/**
 * The id of a selector's address set: a hash of its normal form, so that equal selectors share one set on every host
 * and after every restart (calico-datastore.md 4.3). Same hash as Felix', in characters a kernel name may have.
 */

import { createHash } from "node:crypto";
import { protocolName } from "../model/rule.ts";
import { normalForm, type Selector } from "../model/selector/selector.ts";
import type { SetId } from "./enforcement.ts";
import type { NamedPort } from "./members.ts";

export function setIdOf(selector: Selector): SetId {
  return `s_${hashOf(`s:${normalForm(selector)}`)}`;
}

/** Felix' own id, which other tools show. */
export function felixSetId(selector: Selector): string {
  return `s:${hashOf(`s:${normalForm(selector)}`)}`;
}

/** The set of what endpoints that match the selector have given this name (calico-datastore.md 4.3). */
export function portSetIdOf(selector: Selector, { name, protocol }: NamedPort): SetId {
  const protocolText = protocol === undefined ? "any" : String(protocolName(protocol)).toLowerCase();
  return `n_${hashOf(`n:s:${hashOf(`s:${normalForm(selector)}`)},${protocolText},${name}`)}`;
}

function hashOf(text: string): string {
  return createHash("sha224").update(text).digest("base64url");
}
