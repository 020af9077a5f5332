/**
 * Question and answer about one packet on one host: what travels between `margay explain` and `margay node`.
 * The answer says what the kernel of that host does, from its packet filter and our routes as read at that moment.
 */
import { z } from "zod";
import { tryParseIpAddress } from "../../base/addresses.ts";

const address = z.string().refine((text) => tryParseIpAddress(text) === text, "an IP address");
const interfaceName = z.string().regex(/^[a-zA-Z0-9_.-]{1,15}$/);
const byte = z.int().min(0).max(255);
const port = z.int().min(0).max(65_535);
const place = z.union([z.enum(["this host", "elsewhere"]), z.strictObject({ interfaceName })]);

export const KernelQuestion = z.strictObject({
  packet: z.strictObject({
    source: address,
    destination: address,
    protocol: byte,
    sourcePort: port.optional(),
    destinationPort: port.optional(),
    icmp: z.strictObject({ type: byte, code: byte }).optional(),
  }),
  from: place,
  /** "elsewhere": off this host by some route; "nowhere": to an address nobody has, so no route is missed. */
  to: z.union([place, z.literal("nowhere")]),
});
export type KernelQuestion = z.infer<typeof KernelQuestion>;

const Step = z.object({
  chain: z.string(),
  rule: z.number(),
  handle: z.number(),
  comment: z.string(),
  did: z.string(),
});

export const KernelAnswer = z.object({
  host: z.string(),
  /** Not "unknown" only when every expression on the way was understood. */
  verdict: z.enum(["allow", "deny", "unknown"]),
  reason: z.string(),
  hooks: z.array(z.object({ hook: z.string(), verdict: z.enum(["accept", "drop"]), steps: z.array(Step) })),
  /** What is wrong besides the packet filter: links, routes. Each makes the verdict "deny". */
  faults: z.array(z.string()),
  /** Where the packet comes in and goes out ("": nowhere), and which interface has which address. */
  interfaces: z
    .object({
      in: z.string(),
      out: z.string(),
      addresses: z.array(z.object({ interfaceName: z.string(), address })),
    })
    .optional(),
  /** The node's own state; absent when the kernel was read without it. */
  node: z
    .object({
      ready: z.boolean(),
      notReady: z.array(z.string()),
      revision: z.number(),
    })
    .optional(),
});
export type KernelAnswer = z.infer<typeof KernelAnswer>;
