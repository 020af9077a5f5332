/** The profile that is always there. */

import type { Profile } from "./profile.ts";
import { apiVersion } from "./resource.ts";

/** Is answered by Get and List although nobody stores it: one Allow each way. */
export const defaultAllowProfileName = "projectcalico-default-allow";

export const defaultAllowProfile: Profile = {
  kind: "Profile",
  apiVersion,
  metadata: { name: defaultAllowProfileName, resourceVersion: "1" },
  spec: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
};
