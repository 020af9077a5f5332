/** Takes passwords, tokens and keys out of texts that are handed on: documents, settings, environments, PEM blocks. */

const hidden = "[secret]";
/** A name that ends in one of these, then a value: JSON, YAML, NAME=value, --name=value. */
const named =
  /(["']?[\w.-]*(?:password|passwd|token|secret|apikey|api_key|private_?key|credentials?)["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}\]]+)/gi;
const keyField = /((?:^|[\s{,])["']?(?:etcdKey|k8sAPIToken|key)["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}\]]+)/g;
const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const inUrl = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]+:)[^\s@/]+(@)/gi;

export function withoutSecrets(text: string): string {
  const masked = (_whole: string, name: string, value: string) => {
    const quote = /^["']/.exec(value)?.[0] ?? "";
    return `${name}${quote}${hidden}${quote}`;
  };
  return text.replace(pem, hidden).replace(named, masked).replace(keyField, masked).replace(inUrl, `$1${hidden}$2`);
}
