/** Names that become paths, keys or kernel objects, as checked types. */

import { BadInput } from "./errors.ts";

declare const interfaceName: unique symbol;
export type InterfaceName = string & { readonly [interfaceName]: true };

/** Linux allows 1 to 15 bytes without slash, colon or white space (net/core/dev.c, dev_valid_name). */
export function parseInterfaceName(text: string, path = ""): InterfaceName {
  if (!/^[\x21-\x2e\x30-\x39\x3b-\x7e]{1,15}$/.test(text) || text === "." || text === "..") {
    throw new BadInput(path, `"${text}" cannot name an interface`, "1 to 15 characters without / : or space");
  }
  return text as InterfaceName;
}
