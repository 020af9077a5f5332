/** IPPool: a range addresses are given from (calico-datastore.md 2.8). Reading fills in what a writer left out. */

import { z } from "zod";
import { type Cidr, prefixLength, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";
import { parseSelector } from "./selector/parse.ts";

const Encapsulation = absentOr(z.enum(["Always", "CrossSubnet", "Never", ""]));

export const IpPoolSpec = z.looseObject({
  cidr: z.string(),
  vxlanMode: Encapsulation,
  ipipMode: Encapsulation,
  natOutgoing: absentOr(z.boolean()),
  disabled: absentOr(z.boolean()),
  disableBGPExport: absentOr(z.boolean()),
  blockSize: absentOr(z.int()),
  nodeSelector: absentOr(z.string()),
  allowedUses: absentOr(z.array(z.string())),
  assignmentMode: absentOr(z.enum(["Automatic", "Manual"])),
  namespaceSelector: absentOr(z.string()),
});

export const IpPool = resourceSchema("IPPool", IpPoolSpec);
export type IpPool = z.infer<typeof IpPool>;

/** A pool as IPAM and policy use it: everything filled in and checked. */
export interface Pool {
  readonly name: string;
  readonly cidr: Cidr;
  readonly blockSize: number;
  readonly natOutgoing: boolean;
  readonly disabled: boolean;
  readonly nodeSelector: string;
  readonly allowedUses: readonly string[];
  /** False: serves only those who ask for it by name (mode Manual, or reserved for namespaces of Kubernetes). */
  readonly automatic: boolean;
  /** False: gives nothing new, because it is disabled, being deleted, or marked so in its status. */
  readonly allocatable: boolean;
}

export const defaultPoolName = "default-ipv4-ippool";
export const defaultPoolCidr = "192.168.0.0/16" as Cidr;

export interface NewIpPool {
  readonly name: string;
  readonly cidr: Cidr;
  readonly natOutgoing?: boolean;
  readonly blockSize?: number;
  readonly nodeSelector?: string;
  readonly disableBgpExport?: boolean;
  readonly assignmentMode?: "Automatic" | "Manual";
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** All defaults written out, as every writer of the keyspace does. @throws BadInput */
export function newIpPool(wanted: NewIpPool, stamp: NewObject): IpPool {
  const { name, cidr, labels, annotations } = wanted;
  const pool = check(IpPool, {
    kind: "IPPool",
    apiVersion,
    metadata: newMetadata(name, stamp, {
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
    }),
    spec: {
      cidr,
      vxlanMode: "Never",
      ipipMode: "Never",
      natOutgoing: wanted.natOutgoing ?? false,
      blockSize: wanted.blockSize ?? defaultBlockSize(cidr),
      nodeSelector: wanted.nodeSelector ?? "all()",
      ...(wanted.disableBgpExport === undefined ? {} : { disableBGPExport: wanted.disableBgpExport }),
      allowedUses: ["Workload", "Tunnel"],
      assignmentMode: wanted.assignmentMode ?? "Automatic",
    },
  });
  poolOf(pool);
  return pool;
}

/** The pool a cluster without pools gets. */
export function defaultIpPool(stamp: NewObject): IpPool {
  return newIpPool({ name: defaultPoolName, cidr: defaultPoolCidr, natOutgoing: true }, stamp);
}

/** @throws BadInput for a value that is no valid IPPool (it then counts as absent). */
export function decodeIpPool(text: string, path = ""): Pool {
  return poolOf(decode(IpPool, text, path), path);
}

/** @throws BadInput in the words of Calico's client. */
export function poolOf(resource: IpPool, path = ""): Pool {
  const { spec } = resource;
  const where = (field: string) => `${path === "" ? "" : `${path}: `}IPPool.Spec.${field}`;
  const cidr = spec.cidr.includes("/") ? tryParseCidr(spec.cidr) : undefined;
  if (cidr === undefined) throw new BadInput(where("CIDR"), "IPPool CIDR must be a valid subnet", "a CIDR");
  const base = tryParseCidr(spec.cidr.slice(0, spec.cidr.indexOf("/")));
  if (base === undefined || base.slice(0, base.indexOf("/")) !== cidr.slice(0, cidr.indexOf("/"))) {
    throw new BadInput(where("CIDR"), "IPPool CIDR is not strictly masked", cidr);
  }
  const blockSize = spec.blockSize === undefined || spec.blockSize === 0 ? defaultBlockSize(cidr) : spec.blockSize;
  const [least, most] = cidr.includes(":") ? [116, 128] : [20, 32];
  if (blockSize < least || blockSize > most) {
    const problem = `IPv${cidr.includes(":") ? 6 : 4} block size must be between ${least} and ${most}`;
    throw new BadInput(where("BlockSize"), problem, `${least} to ${most}`);
  }
  if (prefixLength(cidr) > blockSize && spec.disabled !== true) {
    const problem =
      "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.";
    throw new BadInput(where("CIDR"), problem, `a prefix length of ${blockSize} or lower`);
  }
  const nodeSelector = spec.nodeSelector === undefined || spec.nodeSelector === "" ? "all()" : spec.nodeSelector;
  parseSelector(nodeSelector, where("NodeSelector"), { global: "refuse" });
  return {
    name: resource.metadata.name,
    cidr,
    blockSize,
    natOutgoing: spec.natOutgoing ?? false,
    disabled: spec.disabled ?? false,
    nodeSelector,
    allowedUses:
      spec.allowedUses === undefined || spec.allowedUses.length === 0 ? ["Workload", "Tunnel"] : spec.allowedUses,
    automatic: spec.assignmentMode !== "Manual" && (spec.namespaceSelector ?? "") === "",
    allocatable: spec.disabled !== true && !isBeingDeleted(resource) && !isMarkedUnallocatable(resource),
  };
}

function isBeingDeleted({ metadata }: IpPool): boolean {
  const { deletionTimestamp } = metadata as { readonly deletionTimestamp?: unknown };
  return deletionTimestamp !== undefined && deletionTimestamp !== null;
}

const AllocatableStatus = z.looseObject({
  conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })),
});

function isMarkedUnallocatable(resource: IpPool): boolean {
  const { success, data } = AllocatableStatus.safeParse((resource as { readonly status?: unknown }).status);
  return success && data.conditions.some(({ type, status }) => type === "Allocatable" && status === "False");
}

function defaultBlockSize(cidr: Cidr): number {
  return cidr.includes(":") ? 122 : 26;
}
