/** Variables that say where the store is, refused in the words of the classic releases (calicoctl.md 3.2; number 48). */

import { expect, test } from "bun:test";
import { CommandFailure } from "../command.ts";
import { checkStoreVariables } from "./store-variables.ts";

const here = import.meta.path;
const cases: readonly (readonly [env: Readonly<Record<string, string>>, said: RegExp | undefined])[] = [
  [{}, undefined],
  [{ ETCD_AUTHORITY: "" }, undefined],
  [{ ETCD_AUTHORITY: "10.0.0.1:4001" }, undefined],
  [{ ETCD_AUTHORITY: "[fd80::1]:2379" }, undefined],
  [{ ETCD_AUTHORITY: "a:1,b:2" }, undefined],
  [{ ETCD_AUTHORITY: "host", ETCD_ENDPOINTS: "http://a:1" }, undefined],
  [{ ETCD_ENDPOINTS: "http://a:1,http://b:2" }, undefined],
  [{ ETCD_KEY_FILE: here, ETCD_CERT_FILE: here, ETCD_CA_CERT_FILE: here }, undefined],
  [{ ETCD_AUTHORITY: "host" }, /^Invalid ETCD_AUTHORITY\. Address must take the form <address>:<port>\. .* 'host'/],
  [{ ETCD_AUTHORITY: "a:1,b" }, /^Invalid ETCD_AUTHORITY\./],
  [{ ETCD_SCHEME: "ftp" }, /^Invalid ETCD_SCHEME\. Value must be one of: "", "http", "https"\. Value provided: ftp/],
  [
    { ETCD_ENDPOINTS: "http://a:1,https://b:2" },
    /^Inconsistent protocols in ETCD_ENDPOINTS\. .* 'http:\/\/a:1,https:\/\/b:2'/,
  ],
  [{ ETCD_KEY_FILE: here }, /^Invalid ETCD_KEY_FILE, ETCD_CERT_FILE combination\. .* ETCD_CERT_FILE=/],
  [{ ETCD_KEY_FILE: here, ETCD_CERT_FILE: "/nonexistent" }, /^Cannot read ETCD_KEY_FILE and\/or ETCD_CERT_FILE\./],
  [{ ETCD_CA_CERT_FILE: "/nonexistent" }, /^Invalid ETCD_CA_CERT_FILE\. .* Value provided: \/nonexistent/],
];
for (const [env, said] of cases) {
  test(`48: ${JSON.stringify(env).replace(here, "FILE")}`, () => {
    if (said === undefined) {
      checkStoreVariables(env);
      return;
    }
    try {
      checkStoreVariables(env);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      expect(error.message.trim().replaceAll("\n", " ")).toMatch(said);
      expect(error.stream).toBe("stdout");
      return;
    }
    throw new Error("was accepted");
  });
}
