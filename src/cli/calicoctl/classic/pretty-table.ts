/** Tables of the classic commands: PrettyTable 0.7 with centred cells (calicoctl.md 3.2). */

export interface TableOptions {
  readonly align?: "centre" | "left";
}

/** A cell may have several lines. */
export function prettyTable(
  header: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
  { align = "centre" }: TableOptions = {},
): string {
  const cells = rows.map((row) => row.map((cell) => (cell ?? "None").split("\n")));
  const widths = header.map((title, column) =>
    Math.max(title.length, ...cells.flatMap((row) => (row[column] ?? []).map((line) => line.length))),
  );
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const aligned = (text: string, width: number) => (align === "left" ? text.padEnd(width) : centre(text, width));
  const line = (row: readonly string[]) =>
    `|${widths.map((width, at) => ` ${aligned(row[at] ?? "", width)} `).join("|")}|`;
  const lines = cells.flatMap((row) => {
    const height = Math.max(1, ...row.map((cell) => cell.length));
    return Array.from({ length: height }, (_, at) => line(row.map((cell) => cell[at] ?? "")));
  });
  return `${[rule, line(header), rule, ...lines, rule].join("\n")}\n`;
}

/** With an odd surplus a text of odd length gets the extra blank on the right, one of even length on the left. */
function centre(text: string, width: number): string {
  const surplus = width - text.length;
  const left = Math.floor(surplus / 2) + (surplus % 2 === 1 && text.length % 2 === 0 ? 1 : 0);
  return " ".repeat(left) + text + " ".repeat(surplus - left);
}
