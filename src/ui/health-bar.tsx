/** Instances of an application by health, as a bar with its numbers in words. */

import type { App } from "./api.ts";
import { type HealthCounts, healthCounts } from "./app-state.ts";

const words: Readonly<Record<keyof HealthCounts, string>> = {
  healthy: "healthy",
  unhealthy: "unhealthy",
  unknown: "running, health unknown",
  staged: "starting",
  missing: "not placed",
};

export function HealthBar({ app }: { readonly app: App }) {
  const counts = healthCounts(app);
  const parts = (Object.keys(words) as (keyof HealthCounts)[]).filter((kind) => counts[kind] > 0);
  const text = parts.map((kind) => `${counts[kind]} ${words[kind]}`).join(", ") || "no instances";
  return (
    <div className="health">
      <div className="bar" role="img" aria-label={text} title={text}>
        {parts.map((kind) => (
          <span key={kind} className={kind} style={{ flexGrow: counts[kind] }} />
        ))}
      </div>
      <small>{text}</small>
    </div>
  );
}
