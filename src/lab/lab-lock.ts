/**
 * One process at a time makes, keeps or removes a lab of one name: who holds an abstract socket of that name. The
 * kernel takes it back when the process ends in whatever way, and it leaves no file (unix(7)).
 */

import { systemClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";

export class LabLock implements Disposable {
  readonly #release: () => void;

  private constructor(release: () => void) {
    this.#release = release;
  }

  /** Undefined when somebody else has it. */
  static try(name: string): LabLock | undefined {
    try {
      const listener = Bun.listen({
        unix: `\0margay-lab/${name}`,
        socket: { data() {}, open: (socket) => void socket.end() },
      });
      return new LabLock(() => listener.stop(true));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return undefined;
      throw error;
    }
  }

  static async wait(name: string, timeoutMs: number): Promise<LabLock> {
    const deadlineMs = systemClock.monotonicMs() + timeoutMs;
    for (;;) {
      const lock = LabLock.try(name);
      if (lock !== undefined) return lock;
      if (systemClock.monotonicMs() > deadlineMs) {
        throw new OperationError("LAB_BUSY", `another process still holds lab "${name}" after ${timeoutMs} ms`);
      }
      await systemClock.sleep(20);
    }
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}
