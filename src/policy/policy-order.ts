/** In which order tiers and policies are asked (calico-datastore.md 5.1). */

import { compareByBytes } from "../model/selector/selector.ts";

export interface OrderedTier {
  readonly name: string;
  /** False: policies name it, but there is no such object. */
  readonly exists: boolean;
  readonly order: number | undefined;
}

/** Existing tiers first; no order after every order; then by name. */
export function compareTiers(a: OrderedTier, b: OrderedTier): number {
  if (a.exists !== b.exists) return a.exists ? -1 : 1;
  return compareOrders(a.order, b.order) || compareByBytes(a.name, b.name);
}

export interface OrderedPolicy {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly kind: string;
  readonly order: number | undefined;
}

/** No order is last; equal orders by the text name/namespace/kind. */
export function comparePolicies(a: OrderedPolicy, b: OrderedPolicy): number {
  const text = ({ name, namespace = "", kind }: OrderedPolicy) => `${name}/${namespace}/${kind}`;
  return compareOrders(a.order, b.order) || compareByBytes(text(a), text(b));
}

function compareOrders(a: number | undefined, b: number | undefined): number {
  const left = a ?? Number.POSITIVE_INFINITY;
  const right = b ?? Number.POSITIVE_INFINITY;
  return left < right ? -1 : left > right ? 1 : 0;
}
