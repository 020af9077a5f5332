/** The environment, and yes and no in it, as Go programs read them. */
import { BadInput } from "../../base/errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const words: ReadonlyMap<string, boolean> = new Map([
  ...["true", "1", "yes", "y", "t", "on"].map((word) => [word, true] as const),
  ...["false", "0", "no", "n", "f", "off"].map((word) => [word, false] as const),
]);

/** undefined: not set, or set to nothing. @throws BadInput for a word that is neither yes nor no */
export function booleanOf(env: Environment, name: string): boolean | undefined {
  const text = (env[name] ?? "").trim();
  if (text === "") return undefined;
  const value = words.get(text.toLowerCase());
  if (value === undefined) throw new BadInput(name, `"${text}" is neither true nor false`, "true or false");
  return value;
}
