/** Lets one waiting party through at a time, in an order a test chooses: interleavings that can be repeated. */

export class Turnstile {
  readonly #choices: readonly number[];
  readonly #waiting: (() => void)[] = [];
  #chosen = 0;

  /** Numbers that say who goes next; used over and over. */
  constructor(choices: readonly number[]) {
    this.#choices = choices.length === 0 ? [0] : choices;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Until all of the work is done. */
  async run(work: Promise<unknown>): Promise<void> {
    let working = true;
    const done = work.finally(() => {
      working = false;
    });
    done.catch(() => undefined); // thrown below; until then it is not unhandled
    while (working) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const choice = this.#choices[this.#chosen++ % this.#choices.length] ?? 0;
      this.#waiting.splice(choice % Math.max(1, this.#waiting.length), 1)[0]?.();
    }
    await done;
  }
}
