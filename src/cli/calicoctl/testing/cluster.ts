/** calicoctl as a user types it, on a store of its own: what it said, its exit code, and what is stored afterwards. */

import { systemClock, TestClock } from "../../../base/clock.ts";
import type { RoleIo } from "../../../base/role.ts";
import { resourcesPrefix } from "../../../model/keys.ts";
import { openSqliteStore } from "../../../store/sqlite-store.ts";
import type { Store } from "../../../store/store.ts";
import { runCalicoctl } from "../../calicoctl.ts";
import { thisHost } from "../this-host.ts";

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CallOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Calls of the store that are to do something else in this command. */
  readonly connection?: Partial<Store>;
  readonly isRoot?: boolean;
  /** Of the user who interrupts the command. */
  readonly signal?: AbortSignal;
}

/** No node and no Docker of the machine that the tests run on. */
const nobody = { MARGAY_RUN_DIR: "/nonexistent/margay", DOCKER_HOST: "unix:///nonexistent/docker.sock" };

export interface CalicoctlCluster extends AsyncDisposable {
  readonly store: Store;
  readonly clock: TestClock;
  /** The endpoints of every store that was opened. */
  readonly opened: string[];
  /** Words of the line are parted by spaces; a list is taken as it is. A text instead of options is the standard input. */
  run(line: string | readonly string[], options?: CallOptions | string): Promise<Said>;
  /** Keys of what was stored, without what every store has. */
  keys(): Promise<readonly string[]>;
}

export async function calicoctlCluster(): Promise<CalicoctlCluster> {
  const clock = new TestClock(1_700_000_000_000);
  const store = await openSqliteStore({ path: ":memory:", clock });
  const opened: string[] = [];
  return {
    store,
    clock,
    opened,
    run: (line, given = {}) => {
      const options = typeof given === "string" ? { stdin: given } : given;
      return call(line, options, clock, async (endpoints) => {
        opened.push(...endpoints);
        return { ...connectionTo(store), ...options.connection };
      });
    },
    keys: async () =>
      (await store.list(resourcesPrefix)).kvs
        .map(({ key }) => key.slice(resourcesPrefix.length))
        .filter((key) => !/^(tiers\/(default|kube-)|clusterinformations)/.test(key)),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** One command; time goes on while it runs, so that its waits end. Programs of the host are waited for in real time. */
export async function call(
  line: string | readonly string[],
  { stdin = "", env = {}, isRoot = false, signal = new AbortController().signal }: CallOptions,
  clock: TestClock,
  openStore: (endpoints: readonly string[]) => Promise<Store>,
): Promise<Said> {
  const written = { stdout: "", stderr: "" };
  const io: RoleIo = {
    stdout: (text) => {
      written.stdout += text;
    },
    stderr: (text) => {
      written.stderr += text;
    },
    stdin: async () => stdin,
    env: { ...nobody, ...env },
    signal,
  };
  const words = typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line;
  const ended = { yet: false };
  const done = runCalicoctl(["--config=/dev/null", ...words], io, {
    clock,
    openStore,
    host: { ...thisHost(io.env, systemClock), isRoot },
  }).finally(() => {
    ended.yet = true;
  });
  done.catch(() => undefined);
  while (!ended.yet) {
    await clock.advance(250);
    await new Promise(setImmediate);
  }
  return { code: await done, ...written };
}

/** The command closes its own connection; the data stays. */
function connectionTo(store: Store): Store {
  return {
    get: (...given) => store.get(...given),
    list: (...given) => store.list(...given),
    listPages: (...given) => store.listPages(...given),
    put: (...given) => store.put(...given),
    delete: (...given) => store.delete(...given),
    transact: (...given) => store.transact(...given),
    watch: (...given) => store.watch(...given),
    grantLease: (...given) => store.grantLease(...given),
    keepAlive: (...given) => store.keepAlive(...given),
    revokeLease: (...given) => store.revokeLease(...given),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
