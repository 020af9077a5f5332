/** Tables of the modern commands: Go's tabwriter with 3 blanks of padding, lines ending in blanks (calicoctl.md 4.5). */

const paddingBlanks = 3;
const widthMin = 5;

/** Followed by an empty line, as every table of `get` is. */
export function tabTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) =>
    Math.max(widthMin, ...lines.map((line) => [...(line[column] ?? "")].length + paddingBlanks)),
  );
  const text = (line: readonly string[]) => widths.map((width, column) => pad(line[column] ?? "", width)).join("");
  return `${lines.map(text).join("\n")}\n\n`;
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - [...text].length));
}
