import type { MeasureFigures } from './figures.js';

/** A task and how its options were scored: by continuation, if it does not say. */
export function taskLabel({ task, measure }: Pick<MeasureFigures, 'task' | 'measure'>): string {
  return measure === 'letter' ? `${task} by letter` : task;
}

/** 0.0672 -> "+6.7" */
export function points(share: number): string {
  return signed(100 * share, 1);
}

/** 0.0123 -> "+0.012", and nothing like "-0.000". */
export function signed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  if (Number(text) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${text}` : text;
}
