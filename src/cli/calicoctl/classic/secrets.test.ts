/** What an archive of `calicoctl diags` may say of the datastore (calicoctl.md 5.2). */

import { expect, test } from "bun:test";
import { withoutSecrets } from "./secrets.ts";

const cases: readonly [key: string, value: string, shown: string][] = [
  ["/calico/a", '{"spec":{"password":"x","asNumber":1}}', '{"spec":{"password":"***","asNumber":1}}'],
  [
    "/calico/a",
    '{"k8sAPIToken":"x","etcdKey":["y"],"secretKeyRef":{"name":"n","key":"k"}}',
    '{"k8sAPIToken":"***","etcdKey":"***","secretKeyRef":"***"}',
  ],
  [
    "/calico/a",
    '{"url":"http://user:pw@host/","keys":3,"monkey":"m"}',
    '{"url":"http://user:***@host/","keys":3,"monkey":"m"}',
  ],
  ["/margay/token", "abc", "***"],
  ["/calico/master/ip", "10.0.0.1", "10.0.0.1"],
  ["/calico/x", "http://u:p@h", "http://u:***@h"],
];
for (const [key, value, shown] of cases) {
  test(`${key} ${value}`, () => expect(withoutSecrets(key, value)).toBe(shown));
}
