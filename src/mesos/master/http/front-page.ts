/** `/`: one plain page for people, no scripts. */

import { isTerminal } from "../../protocol/task-status.ts";
import type { Master } from "../master.ts";
import { resourceModel, sumOf } from "./resource-model.ts";
import { isActive, liveTasks } from "./state-view.ts";

export function frontPage(master: Master): string {
  const { cluster, info } = master.context;
  const agents = [...cluster.agents.values()].map((agent) => {
    const [total, used] = [resourceModel(agent.total), resourceModel(sumOf(liveTasks(agent)))];
    const part = (name: string) => `${used[name] ?? 0} of ${total[name] ?? 0}`;
    const state = isActive(agent) ? "connected" : "disconnected";
    return [agent.id, agent.info.hostname, state, String(liveTasks(agent).length), part("cpus"), part("mem")];
  });
  const frameworks = [...cluster.frameworks.values()].map((framework) => {
    const live = [...framework.tasks.values()].filter((task) => !isTerminal(task.state)).length;
    const state = framework.stream === undefined ? "disconnected" : "connected";
    return [framework.id, framework.info.name, state, String(live), String(framework.unreachableTasks.size)];
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Margay master</title>
<style>body{font:14px/1.5 sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}</style>
</head><body><h1>Margay master</h1><p>${escapeHtml(info.pid ?? "")}, id ${escapeHtml(info.id)}</p>
<h2>Agents</h2>${table(["Id", "Host", "State", "Tasks", "CPUs used", "Memory used (MB)"], agents)}
<h2>Frameworks</h2>${table(["Id", "Name", "State", "Tasks", "Unreachable"], frameworks)}
<p><a href="/state">state</a> <a href="/tasks">tasks</a> <a href="/slaves">slaves</a> <a href="/frameworks">frameworks</a>
<a href="/metrics/snapshot">metrics</a> <a href="/flags">flags</a> <a href="/version">version</a></p></body></html>
`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "<p>None.</p>";
  const head = heads.map((one) => `<th>${escapeHtml(one)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map((one) => `<td>${escapeHtml(one)}</td>`).join("")}</tr>`).join("\n");
  return `<table><tr>${head}</tr>\n${body}</table>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
