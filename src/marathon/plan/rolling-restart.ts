/**
 * How many old instances may go and how many new ones may come right now (reference: marathon-behaviour 2.4). Written for
 * the present state, not for events, so that it gives the same plan after a crash. Pure.
 */

import type { UpgradeStrategy } from "../app/app.ts";

export interface RollingState {
  /** Instances wanted. */
  readonly wanted: number;
  /** Old ones that are not being killed yet, and those of them that serve. */
  readonly oldActive: number;
  readonly oldReady: number;
  readonly newActive: number;
  readonly newReady: number;
  /** Being killed, not gone yet: they still take up room. */
  readonly terminating: number;
}

export interface RollingMove {
  readonly kill: number;
  readonly start: number;
}

export function rollingMove(strategy: UpgradeStrategy, state: RollingState): RollingMove {
  const { wanted, oldActive, newActive, terminating } = state;
  const ready = state.oldReady + state.newReady;
  const readyMin = ceil(wanted * strategy.minimumHealthCapacity);
  let activeMax = floor(wanted * (1 + strategy.maximumOverCapacity));
  // No room to move either way: one extra, or nothing would ever happen.
  if (readyMin >= activeMax && activeMax <= oldActive + newActive + terminating) activeMax += 1;
  const active = oldActive + newActive + terminating;
  const start = Math.max(0, Math.min(wanted - newActive, activeMax - active));
  let kill = Math.max(0, ready - readyMin, oldActive - wanted);
  // Those that do not serve may go without loss, and must when nothing else makes room.
  if (kill === 0 && start === 0 && terminating === 0 && newActive < wanted)
    kill = Math.min(1, oldActive - state.oldReady);
  // All new ones serve: whatever is left of the old goes.
  if (state.newReady >= wanted) kill = oldActive;
  return { kill: Math.min(kill, oldActive), start };
}

/** 3 × 1.1 is 3.3000000000000003: rounding must not see the last digits. */
function ceil(value: number): number {
  return Math.ceil(value - 1e-9);
}

function floor(value: number): number {
  return Math.floor(value + 1e-9);
}
