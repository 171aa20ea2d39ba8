import { Counter, Gauge, type Registry } from 'prom-client';

type Labels = Readonly<Record<string, string | number>>;

/** A gauge that has no series until it has a value: "not known yet" is not 0. */
export interface SafeGauge {
  /** Null removes the series. NaN and infinities are shown as such. */
  set(value: number | null, labels?: Labels): void;
}

/** A counter that only grows: values that are negative or not finite would spoil it and are left out. */
export interface SafeCounter {
  add(value: number, labels?: Labels): void;
}

export function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeGauge {
  const instrument = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const set = (value: number | null, labels: Labels = {}) => {
    if (value === null) instrument.remove(labels);
    else instrument.set(labels, value);
  };
  set(null);
  return { set };
}

export function counter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): SafeCounter {
  const instrument = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    add(value, labels = {}) {
      if (Number.isFinite(value) && value >= 0) instrument.inc(labels, value);
    },
  };
}
