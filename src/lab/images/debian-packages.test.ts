/** Reading apt's dependency listing. */

import { expect, test } from "bun:test";
import { dependencyGraph } from "./debian-packages.ts";

test("real, alternative and pre-dependencies are read; virtual packages and other relations are not", () => {
  const text = `nginx
  Depends: libc6
 |Depends: debconf
  Depends: <debconf-2.0>
    cdebconf
  PreDepends: libssl3
<debconf-2.0>
libc6:i386
  Depends: libgcc-s1
libssl3
`;
  expect([...dependencyGraph(text)]).toEqual([
    ["nginx", ["libc6", "debconf", "libssl3"]],
    ["libc6", ["libgcc-s1"]],
    ["libssl3", []],
  ]);
});
