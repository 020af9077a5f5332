/**
 * Network namespaces of the calling thread. A netlink socket stays in the namespace it was opened in, and /proc/sys/net
 * shows the namespace of the thread that opens the path: enter, open, leave is enough to work in another one.
 * JavaScript runs on one thread, so nothing may be awaited inside: everything else on that thread would be moved along.
 */
import { closeDescriptor, openDescriptor, setNetworkNamespace } from "./libc.ts";

export class NetworkNamespace implements Disposable {
  readonly path: string;
  readonly #descriptor: number;

  private constructor(path: string) {
    this.path = path;
    this.#descriptor = openDescriptor(path);
  }

  /** @param path for example /run/netns/name or /proc/1234/ns/net */
  static open(path: string): NetworkNamespace {
    return new NetworkNamespace(path);
  }

  /** For a message to the kernel that names this namespace; not to be kept. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** Runs a synchronous function inside; the thread is back outside when this returns or throws. */
  run<T>(work: () => T): T {
    using _inside = this.enter();
    return work();
  }

  /** The thread stays inside until the answer is disposed. For tests and for a process that moves as a whole. */
  enter(): Disposable {
    const before = openDescriptor("/proc/thread-self/ns/net");
    try {
      setNetworkNamespace(this.#descriptor);
    } catch (error) {
      closeDescriptor(before);
      throw error;
    }
    return {
      [Symbol.dispose]() {
        setNetworkNamespace(before);
        closeDescriptor(before);
      },
    };
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.#descriptor);
  }
}
