/** The word somebody meant: the nearest of those there are, if it is near at all. */

export function nearestWord(word: string, known: Iterable<string>): string | undefined {
  // A slip or two; in short words one.
  let best: { readonly word: string | undefined; readonly distance: number } = {
    word: undefined,
    distance: word.length < 5 ? 2 : 3,
  };
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), best.distance);
    if (distance < best.distance) best = { word: candidate, distance };
  }
  return best.word;
}

/** Insertions, deletions, replacements and swaps of neighbours; `most` if there are as many or more. */
function editDistance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) >= most) return most;
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cell = (up: number, left: number) => (rows[i - up] ?? [])[j - left] ?? Number.POSITIVE_INFINITY;
      const replaced = cell(1, 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? cell(2, 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(cell(1, 0) + 1, (row[j - 1] ?? 0) + 1, replaced, swapped));
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? most;
}
