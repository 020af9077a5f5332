/**
 * What of the node works, as components that report for themselves. A component with a time-out that stops reporting is not
 * live: a hung loop shows. Form of the answer as Felix' (reference/felix-dataplane.md 6.5).
 */
import type { Clock } from "../base/clock.ts";

export interface ComponentState {
  readonly live: boolean;
  readonly ready: boolean;
  /** A reason a user can read. */
  readonly detail: string;
}

interface Component {
  readonly registeredTimeoutMs: number | undefined;
  timeoutMs: number | undefined;
  state: ComponentState;
  reportedAtMs: number;
}

export class HealthBoard {
  readonly #clock: Clock;
  readonly #components = new Map<string, Component>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  register(name: string, options: { readonly timeoutMs?: number; readonly detail: string }): void {
    this.#components.set(name, {
      registeredTimeoutMs: options.timeoutMs,
      timeoutMs: options.timeoutMs,
      state: { live: true, ready: false, detail: options.detail },
      reportedAtMs: this.#clock.monotonicMs(),
    });
  }

  /**
   * Instead of those registered, by name; 0: a silence of any length is fine. Unknown names are let pass: other versions
   * have other parts.
   */
  setTimeouts(timeoutsMs: ReadonlyMap<string, number>): void {
    for (const [name, component] of this.#components) {
      const other = timeoutsMs.get(name);
      component.timeoutMs = other === 0 ? undefined : (other ?? component.registeredTimeoutMs);
    }
  }

  report(name: string, state: Partial<ComponentState>): void {
    const component = this.#components.get(name);
    if (component === undefined) return;
    component.state = { ...component.state, ...state };
    component.reportedAtMs = this.#clock.monotonicMs();
  }

  summary(): {
    readonly live: boolean;
    readonly ready: boolean;
    readonly table: string;
    readonly components: Readonly<Record<string, ComponentState>>;
  } {
    const rows = [["COMPONENT", "TIMEOUT", "LIVENESS", "READINESS", "DETAIL"]];
    const components: Record<string, ComponentState> = {};
    let live = true;
    let ready = true;
    for (const [name, component] of this.#components) {
      const state = this.#stateOf(component);
      components[name] = state;
      live &&= state.live;
      ready &&= state.ready;
      const timeout = component.timeoutMs === undefined ? "-" : `${component.timeoutMs / 1_000}s`;
      rows.push([name, timeout, state.live ? "live" : "not live", state.ready ? "ready" : "not ready", state.detail]);
    }
    const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
    const table = rows
      .map((row) =>
        row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd(),
      )
      .join("\n");
    return { live, ready: live && ready, table: `${table}\n`, components };
  }

  #stateOf(component: Component): ComponentState {
    const silentMs = this.#clock.monotonicMs() - component.reportedAtMs;
    if (component.timeoutMs === undefined || silentMs <= component.timeoutMs) return component.state;
    return { live: false, ready: false, detail: `no report for ${Math.round(silentMs / 1_000)} s` };
  }
}
