/** Templates as users of calicoctl and of Go write them: what they print and how they are refused. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { BadInput } from "../../../../base/errors.ts";
import { renderTemplate } from "./execute.ts";

const pools = [
  {
    kind: "IPPool",
    metadata: { name: "a", labels: { x: "1", w: "0" } },
    spec: { cidr: "10.0.0.0/16", natOutgoing: true },
  },
  {
    kind: "IPPool",
    metadata: { name: "b" },
    spec: { cidr: "10.1.0.0/16", allowedUses: ["Workload", "Tunnel"], order: 1e6 + 0.5 },
  },
];

const printed: readonly [template: string, text: string][] = [
  ["{{range .}}{{.ObjectMeta.Name}} {{.Spec.CIDR}}\n{{end}}", "a 10.0.0.0/16\nb 10.1.0.0/16\n"],
  ["{{range .}}{{.Name}},{{end}}", "a,b,"],
  ["{{range $i, $p := .}}{{$i}}={{$p.metadata.name}} {{end}}", "0=a 1=b "],
  ["{{range .}}{{if .Spec.NATOutgoing}}nat{{else}}none{{end}};{{end}}", "nat;none;"],
  ['{{range .}}{{with .Spec.AllowedUses}}{{join . "+"}}{{else}}-{{end}} {{end}}', "- Workload+Tunnel "],
  ['{{range .}}{{joinAndTruncate .Spec.AllowedUses "," 10}} {{end}}', " Workloa... "],
  ["{{range (index . 0).Labels}}{{.}}{{end}}", "01"],
  ["{{(index . 0).Labels}}", "map[w:0 x:1]"],
  ["{{(index . 1).Spec.Order}}", "1.0000005e+06"],
  ["{{(index . 1).Spec.AllowedUses}} {{(index . 1).Spec.Missing}}", "[Workload Tunnel] <no value>"],
  ['{{len .}} {{eq 1 1}} {{and true 0}} {{not true}} {{or "" "x"}}', "2 true 0 false x"],
  ['{{printf "%-5s|%3d|%q" "ab" 7 "c"}}', 'ab   |  7|"c"'],
  ['{{`raw \\n`}} {{"cooked \\n"}}.', "raw \\n cooked \n."],
  ["a  {{- /* comment */ -}}  b", "a  b".replace("  ", "")],
  ["x {{- 1 -}} y", "x1y"],
  ["{{$n := 1}}{{range .}}{{$n = 2}}{{end}}{{$n}}", "2"],
  ["{{if eq (len .) 3}}3{{else if eq (len .) 2}}2{{else}}?{{end}}", "2"],
  ['{{range .}}{{if eq .Name "b"}}{{break}}{{end}}{{.Name}}{{end}}', "a"],
  ['{{range .}}{{if eq .Name "a"}}{{continue}}{{end}}{{.Name}}{{end}}', "b"],
  ["{{range nothing}}{{else}}none{{end}}", "none"],
  ['{{"a}}b"}}', "a}}b"],
  ['{{. | len | printf "%d pools"}}', "2 pools"],
  ['{{lt 1 2}}{{le 2 2}}{{gt "b" "a"}}{{ge 1 2}}{{ne 1 2}}', "truetruetruefalsetrue"],
  ['{{ config "asnumber" }}', "64512"],
  ["plain", "plain"],
  ["", ""],
];
for (const [template, text] of printed) {
  test(`${JSON.stringify(template)} prints ${JSON.stringify(text)}`, () => {
    expect(renderTemplate(template, pools, { nothing: () => [], config: () => "64512" })).toBe(text);
  });
}

const refused: readonly [template: string, problem: string][] = [
  ["{{.Name}}", "can't evaluate field Name in a list"],
  ["{{range .}}", "{{range}} without {{end}}"],
  ["{{end}}", "unexpected {{end}}"],
  ["{{if .}}{{else}}", "{{else}} without {{end}}"],
  ["{{", "unclosed action"],
  ["{{}}", "missing value for command"],
  ["{{. | }}", "missing value for command"],
  ["{{nosuch .}}", 'function "nosuch" not defined'],
  ["{{$x}}", "undefined variable"],
  ["{{(len .}}", "unclosed left paren"],
  ["{{len .)}}", 'unexpected ")"'],
  ["{{. 1}}", "can't give argument to non-function"],
  ['{{template "x"}}', "is not supported"],
  ["{{break}}", "outside {{range}}"],
  ["{{range 5}}{{end}}", "can't iterate over 5"],
  ['{{lt 1 "a"}}', "incompatible types"],
  ['{{printf "%x" 1}}', "verb %x is not supported"],
  ["{{?}}", "unexpected"],
];
for (const [template, problem] of refused) {
  test(`${template} is refused`, () => expect(() => renderTemplate(template, pools)).toThrow(problem));
}

test("any text is printed or refused, never a crash", () => {
  const part = fc.oneof(
    fc.constantFrom("{{", "}}", "range", " .", ".a", "end", "if", "$x", ":=", "(", ")", "|", '"', "-"),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      try {
        expect(renderTemplate(parts.join(""), pools)).toBeString();
      } catch (error) {
        expect(error).toBeInstanceOf(BadInput);
      }
    }),
    { numRuns: 2_000 },
  );
});
