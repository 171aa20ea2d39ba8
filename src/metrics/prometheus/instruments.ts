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

/** Makes a gauge. Values go through series, also without labels. */
export function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeGauge {
  const { collect, onCollect } = collector();
  const instrument = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry], collect });
  const set = (value: number | null, labels: Labels = {}) => {
    if (value === null) instrument.remove(labels);
    else instrument.set(labels, value);
  };
  const series = (labels: Labels): GaugeSeries => {
    let last: number | null = null;
    onCollect(() => set(last, labels));
    return {
      set(value) {
        last = value;
      },
    };
  };
  return { set: labelNames.length === 0 ? series({}).set : set, series };
}

/** Makes a counter. Values go through series, also without labels. */
export function counter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeCounter {
  const { collect, onCollect } = collector();
  const instrument = new Counter({ name, help, labelNames: [...labelNames], registers: [registry], collect });
  const add = (value: number, labels: Labels = {}) => {
    if (isCountable(value)) instrument.inc(labels, value);
  };
  const series = (labels: Labels): CounterSeries => {
    // Null if nothing was added: the series need not be there yet.
    let sum: number | null = null;
    onCollect(() => {
      if (sum !== null) instrument.inc(labels, sum);
      sum = null;
    });
    return {
      add(value) {
        if (isCountable(value)) sum = (sum ?? 0) + value;
      },
    };
  };
  return { add: labelNames.length === 0 ? series({}).add : add, series };
}

/** Returns the hook of an instrument that runs before it is read. */
function collector(): { readonly collect: () => void; readonly onCollect: (update: () => void) => void } {
  const updates: (() => void)[] = [];
  return {
    collect() {
      for (const update of updates) update();
    },
    onCollect: (update) => void updates.push(update),
  };
}

function isCountable(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

/** Bounds the memory. */
const MAX_DEFERRED = 64;

/** Work of many steps, done at once: one by one it would run in cold code. */
export class DeferredWork {
  #pending: (() => void)[] = [];

  add(work: () => void): void {
    this.#pending.push(work);
    if (this.#pending.length >= MAX_DEFERRED) this.finish();
  }

  /** Does the outstanding work, before the registry is read. */
  finish(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const work of pending) work();
  }
}
