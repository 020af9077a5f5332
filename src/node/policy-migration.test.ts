/** Renaming policies: nothing is ever there twice or not at all, whoever is killed, and however many do it. */
import { expect, test } from "bun:test";
import { TestClock } from "../base/clock.ts";
import { Turnstile } from "../ipam/testing/turnstile.ts";
import { resourceKey } from "../model/keys.ts";
import { policyNameOf } from "../model/policy-names.ts";
import { AnyResource, decode } from "../model/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { dyingStore, Killed } from "../store/testing/failing-store.ts";
import { migratePolicyNames } from "./policy-migration.ts";

const { signal } = new AbortController();
const prefix = "/calico/resources/v3/projectcalico.org/";

interface Written {
  readonly kind: "GlobalNetworkPolicy" | "NetworkPolicy" | "StagedGlobalNetworkPolicy";
  readonly stored: string;
  readonly given?: string;
  readonly selector?: string;
}

async function write(store: Store, { kind, stored, given, selector = "all()" }: Written): Promise<void> {
  const namespace = kind === "NetworkPolicy" ? { namespace: "default" } : {};
  const annotations =
    given === undefined ? {} : { annotations: { "projectcalico.org/metadata": `{"name":"${given}"}` } };
  const metadata = { name: stored, uid: `uid-${stored}`, ...namespace, ...annotations };
  const document = {
    kind,
    apiVersion: "projectcalico.org/v3",
    metadata,
    spec: { tier: "default", selector, order: 10 },
  };
  await store.put(resourceKey({ kind, name: stored, ...namespace }), JSON.stringify(document));
}

const policies: readonly Written[] = [
  { kind: "GlobalNetworkPolicy", stored: "default.web" },
  { kind: "GlobalNetworkPolicy", stored: "default.db", given: "db" },
  { kind: "NetworkPolicy", stored: "default.web" },
  { kind: "StagedGlobalNetworkPolicy", stored: "default.trial" },
  { kind: "GlobalNetworkPolicy", stored: "default.half" },
  { kind: "GlobalNetworkPolicy", stored: "half", given: "half" },
  { kind: "GlobalNetworkPolicy", stored: "default.taken" },
  { kind: "GlobalNetworkPolicy", stored: "taken", given: "taken", selector: "has(x)" },
  { kind: "GlobalNetworkPolicy", stored: "new", given: "new" },
];

async function filled(): Promise<Store & AsyncDisposable> {
  const store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
  for (const policy of policies) await write(store, policy);
  return store;
}

/** What is enforced: kind, namespace and user's name with the selector, each as often as it is there. */
async function meaning(store: Store, revision?: number): Promise<readonly string[]> {
  const { kvs } = await store.list(prefix, revision === undefined ? {} : { revision });
  return kvs
    .map(({ key, value }) => {
      const resource = decode(AnyResource, value, key);
      return `${resource.kind} ${resource.metadata.namespace ?? "-"} ${policyNameOf(resource)} ${resource.spec?.selector}`;
    })
    .sort();
}

async function names(store: Store): Promise<readonly string[]> {
  return (await store.list(prefix)).kvs.map(({ key }) => key.slice(prefix.length));
}

const migrated = [
  "globalnetworkpolicies/db",
  "globalnetworkpolicies/default.taken",
  "globalnetworkpolicies/half",
  "globalnetworkpolicies/new",
  "globalnetworkpolicies/taken",
  "globalnetworkpolicies/web",
  "networkpolicies/default/web",
  "stagedglobalnetworkpolicies/trial",
];

test("datastore 30, 31: policies get the names their users gave them; what cannot be is left, with the reason", async () => {
  await using store = await filled();
  const { renamed, left } = await migratePolicyNames(store, signal);
  expect(await names(store)).toEqual(migrated);
  expect(renamed).toHaveLength(5);
  expect(left).toEqual([
    { key: `${prefix}globalnetworkpolicies/default.taken`, reason: expect.stringContaining("is another policy") },
  ]);
  const { revision } = await store.list("/");
  expect(await migratePolicyNames(store, signal)).toEqual({ renamed: [], left });
  expect((await store.list("/")).revision).toBe(revision);
});

for (const when of ["before", "after"] as const) {
  test(`killed ${when} any of its writes it leaves no policy twice and none out, and the next run ends it`, async () => {
    for (let at = 1; ; at++) {
      await using store = await filled();
      const first = (await store.list("/")).revision;
      // The policy that is there under both names is so from before.
      const expected = new Set(await meaning(store));
      const dying = dyingStore(store, at, when);
      const run = migratePolicyNames(dying.store, signal);
      if (at > 5) {
        await run;
        expect(dying.writes()).toBe(5);
        break;
      }
      await expect(run).rejects.toThrow(Killed);
      await migratePolicyNames(store, signal);
      expect(await names(store)).toEqual(migrated);
      for (let revision = first; revision <= (await store.list("/")).revision; revision++) {
        const now = await meaning(store, revision);
        expect(new Set(now)).toEqual(expected);
        expect(now.length - new Set(now).size).toBeLessThanOrEqual(1);
      }
    }
  });
}

test("several hosts at once, in any order of their requests, do it once", async () => {
  for (let seed = 0; seed < 20; seed++) {
    await using store = await filled();
    const choices = Array.from({ length: 17 }, (_, at) => (seed * 7 + at * (seed + 3)) % 5);
    const turnstile = new Turnstile(choices);
    const host = (): Store => ({
      ...dyingStore(store, 0, "before").store,
      list: async (of, options) => {
        await turnstile.pass();
        return await store.list(of, options);
      },
      transact: async (transaction, options) => {
        await turnstile.pass();
        return await store.transact(transaction, options);
      },
    });
    const all = Promise.all([1, 2, 3].map(() => migratePolicyNames(host(), signal)));
    await turnstile.run(all);
    expect(await names(store)).toEqual(migrated);
    expect((await all).flatMap(({ renamed }) => renamed)).toHaveLength(5);
  }
});

test("a policy that is changed while it is renamed is renamed as it was changed", async () => {
  await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
  await write(store, { kind: "GlobalNetworkPolicy", stored: "default.web" });
  let changed = false;
  const racing: Store = {
    ...dyingStore(store, 0, "before").store,
    transact: async (transaction, options) => {
      if (!changed) await write(store, { kind: "GlobalNetworkPolicy", stored: "default.web", selector: "has(y)" });
      changed = true;
      return await store.transact(transaction, options);
    },
  };
  expect((await migratePolicyNames(racing, signal)).renamed).toHaveLength(1);
  expect(await meaning(store)).toEqual(["GlobalNetworkPolicy - web has(y)"]);
});
