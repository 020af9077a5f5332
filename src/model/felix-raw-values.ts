/**
 * Felix' parameters as plain texts, as its environment and its file have them, made into what the stored object holds.
 * undefined: the text is none of the kind.
 */

export interface RawReader {
  readonly read: (text: string) => unknown;
  /** What "none" means; undefined: the built-in value. */
  readonly none: unknown;
}

const reader = (read: RawReader["read"], none?: unknown): RawReader => ({ read, none });

export const asIs = reader((text) => text, "");

const yes = ["true", "1", "yes", "y", "t"];
const no = ["false", "0", "no", "n", "f"];

export const rawBoolean = reader((text) => {
  const word = text.toLowerCase();
  return yes.includes(word) ? true : no.includes(word) ? false : undefined;
}, false);

/** Masks are written as 0xffff0000. */
export const rawInteger = reader((text) => (/^(-?\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : undefined), 0);

export function rawWord(words: readonly string[]): RawReader {
  return reader((text) => words.find((word) => word.toLowerCase() === text.toLowerCase()));
}

const isNumber = (text: string) => /^-?(\d+(\.\d*)?|\.\d+)$/.test(text);

export const rawSeconds = reader((text) => (isNumber(text) ? `${Number(text)}s` : undefined), "0s");
export const rawMilliseconds = reader((text) => (isNumber(text) ? `${Number(text)}ms` : undefined), "0s");

function parts(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** All of them, or none when one is none. */
function each(read: (part: string) => unknown): RawReader {
  return reader((text) => {
    const all = parts(text).map(read);
    return all.includes(undefined) ? undefined : all;
  }, []);
}

export const list = each((part) => part);

/** 22, tcp:22, tcp:10.0.0.0/8:22, tcp:[fd00::/8]:22. */
export const protocolPorts = each((part) => {
  const match = /^(?:(tcp|udp|sctp):)?(?:([\d./]+|\[[\da-f:./]+\]):)?(\d{1,5})$/i.exec(part);
  if (match === null) return undefined;
  const [, protocol = "tcp", net, port] = match;
  return { protocol, port: Number(port), ...(net === undefined ? {} : { net: net.replaceAll(/[[\]]/g, "") }) };
});

/** 1-250,300-400. */
export const numberRanges = each((part) => {
  const match = /^(\d{1,9})-(\d{1,9})$/.exec(part);
  return match === null ? undefined : { min: Number(match[1]), max: Number(match[2]) };
});

/** name=30s,other=1m. */
export const timeouts = each((part) => {
  const match = /^([^=]+)=(.+)$/.exec(part);
  return match === null ? undefined : { name: match[1], timeout: match[2] };
});
