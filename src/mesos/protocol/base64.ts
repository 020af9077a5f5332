/** `bytes` fields are base64 text (standard alphabet, padded) in v1 JSON; a uuid is 16 raw bytes, not its text. */

const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const uuidBytes = 16;

export function encodeBase64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as string).toString("base64");
}

/** Undefined if the text is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  return base64Pattern.test(text) ? new Uint8Array(Buffer.from(text, "base64")) : undefined;
}

/** `6ccd...-...` to the base64 text of its 16 bytes. */
export function uuidToBase64(uuid: string): string {
  if (!uuidPattern.test(uuid)) throw new TypeError(`"${uuid}" is not a uuid`);
  return Buffer.from(uuid.replaceAll("-", ""), "hex").toString("base64");
}

/** Undefined unless the text is base64 of exactly 16 bytes. */
export function uuidFromBase64(text: string): string | undefined {
  const bytes = decodeBase64(text);
  if (bytes?.length !== uuidBytes) return undefined;
  const hex = Buffer.from(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
