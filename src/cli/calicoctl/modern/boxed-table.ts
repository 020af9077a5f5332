/** Tables of `ipam` and `node status`, as Go's tablewriter draws them (calicoctl.md 4.7, 4.8). */

/** Header centred with the extra blank right, texts left, plain numbers right. */
export function boxedTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, at) => Math.max(title.length, ...rows.map((row) => (row[at] ?? "").length)));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const centred = (text: string, width: number) =>
    text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width);
  const aligned = (text: string, width: number) =>
    /^[\d.e+]+$/.test(text) && !/\..*\./.test(text) ? text.padStart(width) : text.padEnd(width);
  const line = (row: readonly string[], align: (text: string, width: number) => string) =>
    `|${widths.map((width, at) => ` ${align(row[at] ?? "", width)} `).join("|")}|`;
  const lines = [rule, line(header, centred), rule, ...rows.map((row) => line(row, aligned)), rule];
  return `${lines.join("\n")}\n`;
}
