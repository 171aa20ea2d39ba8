import { Counter, Gauge, type Registry } from 'prom-client';

type Labels = Readonly<Record<string, string | number>>;

/** A gauge that has no series until it has a value: "not known yet" is not 0. */
export interface SafeGauge {
  /** Null removes the series. NaN and infinities are shown as such. */
  set(value: number | null, labels?: Labels): void;
  /** The series of these labels, for what is set at every step: the registry is told of the last value at a scrape. */
  series(labels: Labels): GaugeSeries;
}

export type GaugeSeries = { set(value: number | null): void };

/** A counter that only grows: values that are negative or not finite would spoil it and are left out. */
export interface SafeCounter {
  add(value: number, labels?: Labels): void;
  /** The series of these labels, for what is counted at every step: the registry is told of the sum at a scrape. */
  series(labels: Labels): CounterSeries;
}

export type CounterSeries = { add(value: number): void };

export function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeGauge {
  const collects: (() => void)[] = [];
  const collect = () => {
    for (const each of collects) each();
  };
  const instrument = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry], collect });
  const set = (value: number | null, labels: Labels = {}) => {
    if (value === null) instrument.remove(labels);
    else instrument.set(labels, value);
  };
  set(null);
  return {
    set,
    series(labels) {
      let last: number | null = null;
      collects.push(() => set(last, labels));
      return {
        set(value) {
          last = value;
        },
      };
    },
  };
}

export function counter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeCounter {
  const collects: (() => void)[] = [];
  const collect = () => {
    for (const each of collects) each();
  };
  const instrument = new Counter({ name, help, labelNames: [...labelNames], registers: [registry], collect });
  return {
    add(value, labels = {}) {
      if (isCountable(value)) instrument.inc(labels, value);
    },
    series(labels) {
      // Null if nothing was added: the series need not be there yet.
      let sum: number | null = null;
      collects.push(() => {
        if (sum !== null) instrument.inc(labels, sum);
        sum = null;
      });
      return {
        add(value) {
          if (isCountable(value)) sum = (sum ?? 0) + value;
        },
      };
    },
  };
}

function isCountable(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}
