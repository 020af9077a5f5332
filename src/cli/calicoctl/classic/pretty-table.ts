/** Tables of the classic commands: PrettyTable 0.7 with centred cells (calicoctl.md 3.2). */

export function prettyTable(header: readonly string[], rows: readonly (readonly (string | undefined)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cell ?? "None"));
  const widths = header.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => (row[column] ?? "").length)),
  );
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const line = (row: readonly string[]) =>
    `|${widths.map((width, at) => ` ${centre(row[at] ?? "", width)} `).join("|")}|`;
  return `${[rule, line(header), rule, ...cells.map(line), rule].join("\n")}\n`;
}

/** With an odd surplus a text of odd length gets the extra blank on the right, one of even length on the left. */
function centre(text: string, width: number): string {
  const surplus = width - text.length;
  const left = Math.floor(surplus / 2) + (surplus % 2 === 1 && text.length % 2 === 0 ? 1 : 0);
  return " ".repeat(left) + text + " ".repeat(surplus - left);
}
