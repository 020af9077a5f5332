/** Counters and gauges under Marathon's own names, as `/metrics` prints them: Dropwizard's JSON, or Prometheus' text. */

export class Metrics {
  readonly #counters = new Map<string, number>();
  readonly #gauges = new Map<string, () => number>();

  count(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  gauge(name: string, read: () => number): void {
    this.#gauges.set(name, read);
  }

  json(): Readonly<Record<string, unknown>> {
    return {
      version: "4.0.0",
      gauges: Object.fromEntries([...this.#gauges].map(([name, read]) => [`marathon.${name}`, { value: read() }])),
      counters: Object.fromEntries([...this.#counters].map(([name, count]) => [`marathon.${name}`, { count }])),
      histograms: {},
      meters: {},
      timers: {},
    };
  }

  prometheus(): string {
    const line = (name: string, type: string, value: number) => {
      const plain = `marathon_${name.replaceAll(/[^a-zA-Z0-9]/g, "_")}`;
      return `# TYPE ${plain} ${type}\n${plain} ${value}\n`;
    };
    const gauges = [...this.#gauges].map(([name, read]) => line(name, "gauge", read()));
    const counters = [...this.#counters].map(([name, count]) => line(name, "counter", count));
    return [...gauges, ...counters].join("");
  }
}
