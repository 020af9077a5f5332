/**
 * A dump that the kernel marks as interrupted (the table changed while it was read, NLM_F_DUMP_INTR, or EINTR) has some
 * objects twice and others not at all: it is thrown away and read anew.
 */
import { kernelError } from "../libc.ts";

const attemptsMax = 5;

/** @param read one whole reading. @throws EINTR after five interrupted readings in a row. */
export function uninterrupted<Found>(
  doing: string,
  read: () => { readonly found: Found; readonly interrupted: boolean },
): Found {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const { found, interrupted } = read();
    if (!interrupted) return found;
  }
  throw kernelError(doing, "EINTR", `the table changed during ${attemptsMax} reads in a row`);
}
