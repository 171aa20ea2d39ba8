import { axisNumbers, formatDurationMs } from '../format.js';

/** Tick labels of an axis, and values of a legend, in units that read well. */

export function shareTicks(values: readonly number[]): string[] {
  return axisNumbers(
    values.map((value) => 100 * value),
    ' %',
  );
}

export function byteTicks(values: readonly number[]): string[] {
  const [scale, unit] = Math.max(...values) >= 1e9 ? [1e9, ' GB'] : [1e6, ' MB'];
  return axisNumbers(
    values.map((value) => value / scale),
    unit,
  );
}

export function msTicks(values: readonly number[]): string[] {
  const most = Math.max(...values);
  if (most >= 120_000) return values.map((value) => formatDurationMs(value));
  const isLong = most >= 1_000;
  return axisNumbers(
    values.map((value) => (isLong ? value / 1e3 : value)),
    isLong ? ' s' : ' ms',
  );
}

export function formatMs(ms: number): string {
  if (ms >= 120_000) return formatDurationMs(ms);
  return ms >= 1_000 ? `${(ms / 1e3).toFixed(ms >= 1e4 ? 0 : 1)} s` : `${Math.round(ms)} ms`;
}
