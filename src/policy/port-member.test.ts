/** port-member.ts: text and back. */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../base/addresses.ts";
import { parsePortMember, portMember } from "./port-member.ts";

test("a port member is read back as it was written, in both families", () => {
  for (const address of ["192.168.0.1", "fd00::1"].map((text) => parseIpAddress(text))) {
    const port = { address, protocol: 17, port: 53 };
    expect(parsePortMember(portMember(port))).toEqual(port);
  }
  expect(() => parsePortMember("192.168.0.1")).toThrow("is a port member");
});
