/** Rows under each other in columns. */

/** Every column as wide as its widest cell; no trailing blanks. */
export function columns(rows: readonly (readonly string[])[], indent: number): readonly string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, at) => Math.max(all[at] ?? 0, cell.length)), []);
  return rows.map((row) => {
    const cells = row.map((cell, at) => cell.padEnd(widths[at] ?? 0));
    return `${" ".repeat(indent)}${cells.join("  ")}`.trimEnd();
  });
}
