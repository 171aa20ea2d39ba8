import { Counter, Gauge, type Registry } from 'prom-client';
import type { RunListener } from '../../run/run-listener.js';

type Labels = Readonly<Record<string, string | number>>;

/** A listener whose instruments are brought up to date before they are read. */
export interface RefreshedListener extends RunListener {
  refresh(): void;
}

/** A gauge that has no series until it has a value, since "not known yet" is not 0. */
export interface SafeGauge {
  /** Sets the value; null removes the series, NaN and infinities are shown as such. */
  set(value: number | null, labels?: Labels): void;
  /** Returns the series of these labels for frequent values; the registry gets the last value at a scrape. */
  series(labels: Labels): { set(value: number | null): void };
}

/** A counter that ignores values that are negative or not finite, which would spoil it. */
export interface SafeCounter {
  add(value: number, labels?: Labels): void;
  /** Returns the series of these labels for frequent values; the registry gets their sum at a scrape. */
  series(labels: Labels): { add(value: number): void };
}

type Create<Instrument> = (name: string, help: string, labelNames?: readonly string[]) => Instrument;

/** Returns functions that add instruments to a registry; instruments without labels also use a series. */
export function instrumentsOf(registry: Registry): {
  gauge: Create<SafeGauge>;
  counter: Create<SafeCounter>;
} {
  const optionsOf = (name: string, help: string, labelNames: readonly string[]) => {
    const updates: (() => void)[] = [];
    const collect = () => {
      for (const update of updates) update();
    };
    return { updates, options: { name, help, labelNames: [...labelNames], registers: [registry], collect } };
  };
  return {
    gauge(name, help, labelNames = []) {
      const { options, updates } = optionsOf(name, help, labelNames);
      const instrument = new Gauge(options);
      const set = (value: number | null, labels: Labels = {}) => {
        if (value === null) instrument.remove(labels);
        else instrument.set(labels, value);
      };
      const series = (labels: Labels) => {
        let last: number | null = null;
        updates.push(() => set(last, labels));
        return {
          set(value: number | null) {
            last = value;
          },
        };
      };
      return { set: labelNames.length === 0 ? series({}).set : set, series };
    },
    counter(name, help, labelNames = []) {
      const { options, updates } = optionsOf(name, help, labelNames);
      const instrument = new Counter(options);
      const add = (value: number, labels: Labels = {}) => {
        if (isCountable(value)) instrument.inc(labels, value);
      };
      const series = (labels: Labels) => {
        // The sum is null if nothing was added, as the series need not exist yet.
        let sum: number | null = null;
        updates.push(() => {
          if (sum !== null) instrument.inc(labels, sum);
          sum = null;
        });
        return {
          add(value: number) {
            if (isCountable(value)) sum = (sum ?? 0) + value;
          },
        };
      };
      return { add: labelNames.length === 0 ? series({}).add : add, series };
    },
  };
}

function isCountable(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

const MAX_DEFERRED = 64;

/** Collects work of many steps and does it in one batch: done step by step, its code would run with cold caches. */
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
