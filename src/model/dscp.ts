/** DSCP values as Calico writes them: 0 to 63, or the name of a class (RFC 2474, 2597, 3246) in any case. */

/** What of a host endpoint's metadata says it: its spec has no field for it. */
export const dscpAnnotation = "qos.projectcalico.org/dscp";

export const dscpExpected = "0 to 63, or a class like EF, AF31 or CS1";

/** Undefined: it is no DSCP value. */
export function parseDscp(value: string | number): number | undefined {
  const text = String(value).trim().toUpperCase();
  if (/^\d{1,2}$/.test(text)) return Number(text) <= 63 ? Number(text) : undefined;
  if (text === "DF") return 0;
  if (text === "EF") return 46;
  const [, group, drop] = /^AF([1-4])([1-3])$/.exec(text) ?? [];
  if (group !== undefined) return Number(group) * 8 + Number(drop) * 2;
  const [, selector] = /^CS([0-6])$/.exec(text) ?? [];
  return selector === undefined ? undefined : Number(selector) * 8;
}
