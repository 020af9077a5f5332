/** `calicoctl ipam split`: a pool becomes several smaller ones with the same settings (calicoctl.md 4.7). */

import { addressAt, type Cidr, cidrAround, ipFamily, prefixLength, tryParseCidr } from "../../../base/addresses.ts";
import { IpPool, poolOf } from "../../../model/ip-pool.ts";
import { ipPoolKey, kindPrefix } from "../../../model/keys.ts";
import { encode, newMetadata } from "../../../model/resource.ts";
import type { KeyValue, Operation, Store } from "../../../store/store.ts";
import { type CalicoctlContext, CommandFailure, UsageError } from "../command.ts";
import { isLocked } from "./cluster-lock.ts";
import { readable } from "./readable-resource.ts";
import { readWords } from "./words.ts";

export const ipamSplitUsage = `Usage:
  calicoctl ipam split NUMBER (--cidr=CIDR | --name=POOL)
`;

export const ipamSplitHelp = `Replaces a pool by NUMBER pools of equal size with the same settings. Addresses in use stay where they are.

${ipamSplitUsage}
Options:
      --cidr=CIDR   the pool with this CIDR
      --name=POOL   the pool of this name

NUMBER is a power of two; the datastore must be locked.

Examples:
  calicoctl datastore migrate lock
  calicoctl ipam split 4 --name=default-ipv4-ippool
  calicoctl datastore migrate unlock
`;

const nameLengthMax = 245;
/** Whoever assigns an address reads all pools. */
const partsMax = 4096;
/** etcd takes 128 operations in a transaction. */
const poolsPerTransaction = 100;

const failure = (problem: string) => new CommandFailure("stderr", `${problem}\n`);

interface StoredPool {
  readonly kv: KeyValue;
  readonly pool: IpPool;
}

export async function ipamSplit(context: CalicoctlContext, args: readonly string[]): Promise<number> {
  const { values, positionals } = readWords(
    args,
    { cidr: { type: "string" }, name: { type: "string" } },
    ipamSplitUsage,
  );
  const [text, ...more] = positionals;
  if (text === undefined || more.length > 0) {
    throw new UsageError(`accepts 1 arg(s), received ${positionals.length}\n\n${ipamSplitUsage}`);
  }
  if (values.cidr === undefined && values.name === undefined) {
    throw failure("no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split");
  }
  if (values.cidr !== undefined && values.name !== undefined) throw new UsageError(ipamSplitUsage);
  const opened = await context.store();
  if (!(await isLocked(opened))) {
    throw failure(
      "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools",
    );
  }
  const stored = await findPool(opened, values);
  const parts = partsOf(stored, text);
  const { name } = stored.pool.metadata;
  const stem = `split-${name.slice(0, nameLengthMax)}`;
  await replacePool(
    context,
    opened,
    stored,
    parts.map((cidr, at) => ({ name: `${stem}-${at}`, cidr })),
  );
  const created = parts.map((cidr, at) => `Created ${stem}-${at} with CIDR ${cidr}.\n`).join("");
  context.io.stdout(
    `IP Pool ${name} was successfully split into ${parts.length} smaller pools.${created}` +
      "Please refer to the documentation for final steps.\n",
  );
  return 0;
}

async function findPool(store: Store, { cidr, name }: { cidr?: string; name?: string }): Promise<StoredPool> {
  const { kvs } = await store.list(kindPrefix("IPPool"));
  const pools = kvs.flatMap((kv) => {
    const { data } = IpPool.safeParse(readable(kv.value, kv.key));
    return data === undefined ? [] : [{ kv, pool: data }];
  });
  if (name !== undefined) {
    const found = pools.find(({ pool }) => pool.metadata.name === name);
    if (found === undefined) {
      throw failure(
        `unable to find IP pool with name ${name}: resource does not exist: IPPool(${name}) with error: <nil>`,
      );
    }
    return found;
  }
  const wanted = cidr === undefined ? undefined : tryParseCidr(cidr);
  const found = pools.find(({ pool }) => {
    const own = tryParseCidr(pool.spec.cidr);
    return own !== undefined && own === wanted;
  });
  if (found === undefined) throw failure(`unable to find IP pool covering the specified CIDR ${cidr}`);
  return found;
}

/** @throws CommandFailure for a number that is no power of two, or parts smaller than a block */
function partsOf({ pool }: StoredPool, text: string): readonly Cidr[] {
  const { cidr, blockSize } = poolOf(pool);
  const refuse = (why: string) => failure(`error splitting the CIDR ${cidr} into ${text} CIDRs: ${why}`);
  const number = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  const bits = Math.log2(number);
  if (!Number.isInteger(bits)) throw refuse(`number to split CIDR into is not a valid power of 2: ${text}`);
  if (number > partsMax) throw refuse(`more than ${partsMax} pools`);
  const length = prefixLength(cidr) + bits;
  if (length > blockSize) throw refuse(`the CIDR ${cidr} is not large enough to be split into ${text} parts`);
  const size = 1n << BigInt((ipFamily(cidr) === 4 ? 32 : 128) - length);
  return Array.from({ length: number }, (_, at) => cidrAround(addressAt(cidr, BigInt(at) * size), length));
}

/** In one transaction where they fit; else the old pool, disabled first, goes with the last of the new ones. */
async function replacePool(
  { clock }: CalicoctlContext,
  store: Store,
  { kv, pool }: StoredPool,
  parts: readonly { readonly name: string; readonly cidr: Cidr }[],
): Promise<void> {
  const puts = parts.map(({ name, cidr }): Operation & { put: string } => {
    const stamp = { uid: clock.uuid(), nowMs: clock.nowMs() };
    const { labels, annotations } = pool.metadata;
    const more = { ...(labels === undefined ? {} : { labels }), ...(annotations === undefined ? {} : { annotations }) };
    const part = { ...pool, metadata: newMetadata(name, stamp, more), spec: { ...pool.spec, cidr } };
    return { put: ipPoolKey(name), value: encode(part) };
  });
  let { modRevision } = kv;
  const change = async (operations: readonly Operation[], absent: readonly string[]) => {
    const { succeeded, revision } = await store.transact({
      compare: [{ key: kv.key, modRevision }, ...absent.map((key) => ({ key, modRevision: 0 }))],
      success: operations,
    });
    if (!succeeded) throw failure("the pool or one of the new ones was changed by somebody else: try again");
    return revision;
  };
  if (puts.length > poolsPerTransaction) {
    const disabled = { ...pool, spec: { ...pool.spec, disabled: true } };
    modRevision = await change([{ put: kv.key, value: encode(disabled) }], []);
  }
  for (let at = 0; at < puts.length; at += poolsPerTransaction) {
    const part = puts.slice(at, at + poolsPerTransaction);
    const last = at + poolsPerTransaction >= puts.length;
    await change(
      [...part, ...(last ? [{ delete: kv.key }] : [])],
      part.map(({ put }) => put),
    );
  }
}
