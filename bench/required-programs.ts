/** Debian's programs that only benchmarks need: said before anything is set up. */

export function requirePrograms(...names: readonly string[]): void {
  const missing = names.filter((name) => Bun.which(name) === null);
  if (missing.length === 0) return;
  console.error(`this benchmark needs ${missing.join(", ")}: apt-get install ${missing.join(" ")}`);
  process.exit(1);
}
