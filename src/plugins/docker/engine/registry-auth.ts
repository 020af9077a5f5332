/**
 * Credentials for a registry: from Docker's two file forms (`config.json` with `auths`, and the older `.dockercfg`) to the
 * X-Registry-Auth header. A `Credential` never prints its secret. Source: reference/docker.md 5.6.
 */
import { z } from "zod";
import { BadInput } from "../../../base/errors.ts";

const DOCKER_HUB_KEYS: readonly string[] = [
  "https://index.docker.io/v1/",
  "index.docker.io",
  "docker.io",
  "registry-1.docker.io",
];

const authEntry = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const authEntries = z.record(z.string(), authEntry);

export class Credential {
  readonly #fields: Readonly<Record<string, string>>;

  constructor(fields: Readonly<Record<string, string>>) {
    this.#fields = fields;
  }

  /** Value of the X-Registry-Auth header: base64url of JSON. */
  header(): string {
    return Buffer.from(JSON.stringify(this.#fields)).toString("base64url");
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }
}

export const ANONYMOUS = new Credential({});

/** The credential a `config.json` or `.dockercfg` text holds for an image; anonymous when it names none for its registry. */
export function credentialFor(imageReference: string, configText: string): Credential {
  let parsed: unknown;
  try {
    parsed = JSON.parse(configText);
  } catch {
    throw new BadInput(
      "docker config",
      "is not JSON",
      'an object such as {"auths": {"registry:5000": {"auth": "..."}}}',
    );
  }
  const inner = typeof parsed === "object" && parsed !== null && "auths" in parsed ? parsed.auths : parsed;
  const entries = authEntries.safeParse(inner);
  if (!entries.success) {
    throw new BadInput(
      "docker config",
      "holds no table of registries",
      '{"auths": {"registry:5000": {"auth": "..."}}}',
    );
  }
  const registry = registryOf(imageReference);
  const keys = registry === "docker.io" ? DOCKER_HUB_KEYS : [registry, `https://${registry}`, `http://${registry}`];
  for (const [key, entry] of Object.entries(entries.data)) {
    const plain = key.replace(/\/(v[12]\/?)?$/, "");
    if (!keys.includes(key) && !keys.includes(plain)) continue;
    return credential(entry, key);
  }
  return ANONYMOUS;
}

/** `registry:5000/a/b:1` names its registry before the first slash when that part has a dot, a colon, or is localhost. */
export function registryOf(imageReference: string): string {
  const first = imageReference.split("/")[0] ?? "";
  const isRegistry =
    imageReference.includes("/") && (first.includes(".") || first.includes(":") || first === "localhost");
  return isRegistry ? first : "docker.io";
}

function credential(entry: z.output<typeof authEntry>, serveraddress: string): Credential {
  if (entry.identitytoken !== undefined) return new Credential({ identitytoken: entry.identitytoken, serveraddress });
  if (entry.auth !== undefined && entry.auth !== "") {
    const text = Buffer.from(entry.auth, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 0)
      throw new BadInput(`auths["${serveraddress}"].auth`, "holds no colon once decoded", "base64 of user:password");
    // Docker pads the password with NULs in very old files.
    return new Credential({
      username: text.slice(0, colon),
      password: text.slice(colon + 1).replace(/\0+$/, ""),
      serveraddress,
    });
  }
  if (entry.username !== undefined)
    return new Credential({ username: entry.username, password: entry.password ?? "", serveraddress });
  return ANONYMOUS;
}
