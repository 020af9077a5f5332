/** What is a secret and what is not. */

import { expect, test } from "bun:test";
import { withoutSecrets } from "./secrets.ts";
import { tarArchive } from "./tar-archive.ts";

const cases: readonly [text: string, shown: string][] = [
  ['{"password":"a b","user":"x"}', '{"password":"[secret]","user":"x"}'],
  ['{"etcdPassword": "a\\"b", "n": 1}', '{"etcdPassword": "[secret]", "n": 1}'],
  ["etcdKey: abc\netcdCert: def\n", "etcdKey: [secret]\netcdCert: def\n"],
  ["ETCD_PASSWORD=geheim PATH=/bin", "ETCD_PASSWORD=[secret] PATH=/bin"],
  ["k8sAPIToken: 'x y'", "k8sAPIToken: '[secret]'"],
  ["  key: peer-password-key\n", "  key: [secret]\n"],
  ["--token=abc --name=n", "--token=[secret] --name=n"],
  ["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", "[secret]\nrest"],
  ["http://user:geheim@host:2379/x", "http://user:[secret]@host:2379/x"],
  ['{"selector":"has(key)","nets":["10.0.0.0/8"]}', '{"selector":"has(key)","nets":["10.0.0.0/8"]}'],
  ["wireguardPublicKey: abc\n", "wireguardPublicKey: abc\n"],
  ["http://10.0.0.1:2379", "http://10.0.0.1:2379"],
];
for (const [text, shown] of cases) {
  test(`${JSON.stringify(text)} is shown as ${JSON.stringify(shown)}`, () => expect(withoutSecrets(text)).toBe(shown));
}

test("tar(1) reads the archive, long names and all", () => {
  const long = `${"d".repeat(90)}/${"e".repeat(60)}/${"f".repeat(90)}`;
  const files = [
    { path: "a/empty", content: "" },
    { path: "a/text", content: "hällo\n" },
    { path: long, content: Buffer.alloc(1_000, 7) },
  ];
  const archive = tarArchive(files, 1_700_000_000_000);
  const tar = (...words: readonly string[]) => Bun.spawnSync(["tar", ...words], { stdin: archive });
  expect(tar("-t").stdout.toString()).toBe(`a/empty\na/text\n${long}\n`);
  expect(tar("-xO", "a/text").stdout.toString()).toBe("hällo\n");
  expect(tar("-xO", long).stdout.length).toBe(1_000);
  expect(tar("-tv").stdout.toString()).toContain("-rw-------");
});
