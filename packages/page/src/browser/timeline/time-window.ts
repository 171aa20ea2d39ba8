import { multiplesOf, roundStep } from '../ticks.js';

/** The part of a timeline that is shown, in ms. */
export interface TimeWindow {
  readonly from: number;
  readonly to: number;
}

/** Minimum width of the visible range. */
const LEAST_MS = 0.02;

/** Zooms about a time; a factor below 1 shows less. */
export function zoomed(
  { from, to }: TimeWindow,
  aboutMs: number,
  factor: number,
  all: TimeWindow,
): TimeWindow {
  const width = Math.max(LEAST_MS, (to - from) * factor);
  const share = (aboutMs - from) / (to - from);
  return within({ from: aboutMs - share * width, to: aboutMs + (1 - share) * width }, all);
}

/** Moves the window, which stays inside `all`. */
export function within({ from, to }: TimeWindow, all: TimeWindow): TimeWindow {
  const width = Math.min(to - from, all.to - all.from);
  const start = Math.min(Math.max(from, all.from), all.to - width);
  return { from: start, to: start + width };
}

/** Moves the window so that a span is visible, and widens it no more than necessary. */
export function showing(window: TimeWindow, startMs: number, endMs: number, all: TimeWindow): TimeWindow {
  if (startMs >= window.from && endMs <= window.to) return window;
  const width = Math.max(window.to - window.from, (endMs - startMs) * 1.2);
  const middle = (startMs + endMs) / 2;
  return within({ from: middle - width / 2, to: middle + width / 2 }, all);
}

/** Returns times at round distances, at most `maxTicks`. */
export function ticksOf(
  { from, to }: TimeWindow,
  maxTicks: number,
): { readonly at: number[]; readonly step: number } {
  const step = roundStep((to - from) / maxTicks);
  return { at: multiplesOf(step, from, to), step };
}

/** Formats a time as "0", "2.5 ms" or "1.2 s", with the decimals that `step` needs. */
export function formatTick(ms: number, step: number): string {
  if (ms === 0) return '0';
  const inSeconds = step >= 100;
  const unit = inSeconds ? 1_000 : 1;
  const decimals = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  return `${(ms / unit).toFixed(decimals)} ${inSeconds ? 's' : 'ms'}`;
}
