/**
 * The difference of two texts by lines, in the unified form that `patch` reads. Shortest edit script after Myers, "An O(ND)
 * difference algorithm" (1986); texts that differ in very many lines are shown as replaced altogether.
 */

interface Edit {
  readonly kind: " " | "-" | "+";
  readonly line: string;
}

const contextLines = 3;
const editsMax = 1_000;

/** Empty when the texts are the same. */
export function unifiedDiff(
  before: string,
  after: string,
  titles: { readonly from: string; readonly to: string },
): string {
  if (before === after) return "";
  const edits = editsBetween(linesOf(before), linesOf(after));
  return `--- ${titles.from}\n+++ ${titles.to}\n${hunksOf(edits).join("")}`;
}

function linesOf(text: string): readonly string[] {
  if (text === "") return [];
  return text.replace(/\n$/, "").split("\n");
}

function editsBetween(a: readonly string[], b: readonly string[]): readonly Edit[] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const kept = (lines: readonly string[]) => lines.map((line): Edit => ({ kind: " ", line }));
  return [
    ...kept(a.slice(0, start)),
    ...shortestEdits(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...kept(a.slice(a.length - end)),
  ];
}

function shortestEdits(a: readonly string[], b: readonly string[]): readonly Edit[] {
  const steps: ReadonlyMap<number, number>[] = [];
  let furthest = new Map<number, number>([[1, 0]]);
  for (let edits = 0; edits <= Math.min(editsMax, a.length + b.length); edits++) {
    steps.push(furthest);
    const next = new Map(furthest);
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = startOf(furthest, diagonal, edits);
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++;
      next.set(diagonal, x);
      if (x >= a.length && x - diagonal >= b.length) return walkedBack(a, b, steps);
    }
    furthest = next;
  }
  const all = (kind: "-" | "+", lines: readonly string[]) => lines.map((line): Edit => ({ kind, line }));
  return [...all("-", a), ...all("+", b)];
}

const at = (furthest: ReadonlyMap<number, number>, diagonal: number) => furthest.get(diagonal) ?? -1;

function isDown(furthest: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  return diagonal === -edits || (diagonal !== edits && at(furthest, diagonal - 1) < at(furthest, diagonal + 1));
}

function startOf(furthest: ReadonlyMap<number, number>, diagonal: number, edits: number): number {
  return isDown(furthest, diagonal, edits) ? at(furthest, diagonal + 1) : at(furthest, diagonal - 1) + 1;
}

function walkedBack(
  a: readonly string[],
  b: readonly string[],
  steps: readonly ReadonlyMap<number, number>[],
): readonly Edit[] {
  const edits: Edit[] = [];
  let [x, y] = [a.length, b.length];
  for (let count = steps.length - 1; count >= 0; count--) {
    const furthest = steps[count] ?? new Map<number, number>();
    const diagonal = x - y;
    const down = isDown(furthest, diagonal, count);
    const fromDiagonal = down ? diagonal + 1 : diagonal - 1;
    const fromX = count === 0 ? 0 : at(furthest, fromDiagonal);
    const fromY = count === 0 ? 0 : fromX - fromDiagonal;
    while (x > fromX && y > fromY) {
      edits.push({ kind: " ", line: a[x - 1] ?? "" });
      x--;
      y--;
    }
    if (count === 0) break;
    edits.push(down ? { kind: "+", line: b[y - 1] ?? "" } : { kind: "-", line: a[x - 1] ?? "" });
    [x, y] = [fromX, fromY];
  }
  return edits.reverse();
}

function hunksOf(edits: readonly Edit[]): readonly string[] {
  const hunks: string[] = [];
  let [line, otherLine] = [1, 1];
  const positions = edits.map(({ kind }) => {
    const position = { line, otherLine };
    if (kind !== "+") line++;
    if (kind !== "-") otherLine++;
    return position;
  });
  for (let start = 0; start < edits.length; ) {
    const first = edits.findIndex(({ kind }, index) => index >= start && kind !== " ");
    if (first < 0) break;
    let last = first;
    for (let index = first; index < edits.length && index - last <= 2 * contextLines; index++) {
      if (edits[index]?.kind !== " ") last = index;
    }
    const from = Math.max(start, first - contextLines);
    const to = Math.min(edits.length, last + contextLines + 1);
    const part = edits.slice(from, to);
    const count = (without: "+" | "-") => part.filter(({ kind }) => kind !== without).length;
    const range = (number: number, length: number) => `${length === 0 ? number - 1 : number},${length}`;
    const { line: before, otherLine: after } = positions[from] ?? { line: 1, otherLine: 1 };
    const title = `@@ -${range(before, count("+"))} +${range(after, count("-"))} @@\n`;
    hunks.push(title + part.map((edit) => `${edit.kind}${edit.line}\n`).join(""));
    start = to;
  }
  return hunks;
}
