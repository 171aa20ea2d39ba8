import { h } from '../dom.js';
import { formatClock, formatCount, timeZone } from '../format.js';
import type { LokiSeries } from '../loki.js';
import { Chart } from '../overview/chart.js';
import type { XAxis } from '../overview/x-axis.js';
import { seriesColor } from '../theme.js';
import { STEPS_MS } from '../ticks.js';

const MAX_SERIES = 24;
/** x values in seconds since 1970. */
const CLOCK_AXIS: XAxis = {
  name: `time (${timeZone()})`,
  space: 72,
  steps: STEPS_MS.map((ms) => ms / 1e3),
  tick: (seconds) => formatClock(1e3 * seconds, false),
  place: (seconds) => formatClock(1e3 * seconds),
};

export class MetricResult {
  readonly element: HTMLElement;
  #range: readonly [number, number] = [0, 1];
  readonly #chart = new Chart({
    title: 'Result',
    format: formatCount,
    onRange: (range) => this.#chart.setRange(range ?? this.#range),
    onCursor: () => undefined,
    onClick: () => undefined,
  });

  constructor() {
    this.element = h.div({ class: 'metric-result' }, this.#chart.element);
    this.element.hidden = true;
  }

  /**
   * @param range ms since 1970
   * @param stepMs distance of the values; a step without a value is a gap
   */
  set(series: readonly LokiSeries[], [from, to]: readonly [number, number], stepMs: number): void {
    this.#range = [from / 1e3, to / 1e3];
    this.#chart.setRange(this.#range);
    const shown = inOrder(series);
    const x = stepsOf(shown, stepMs / 1e3);
    this.#chart.set(
      shown.map(({ label, values }, index) => {
        const known = new Map(values.map(([seconds, value]) => [keyOf(seconds), Number(value)]));
        const y = x.map((seconds) => known.get(keyOf(seconds)) ?? null);
        return { label, color: seriesColor(index), x, y, hasPoints: hasLonePoint(y) };
      }),
      CLOCK_AXIS,
      'No values. Try a longer time range.',
    );
  }
}

/** Returns all steps from the first value to the last, in seconds. */
function stepsOf(series: readonly { readonly values: LokiSeries['values'] }[], stepS: number): number[] {
  const times = series.flatMap(({ values }) => values.map(([seconds]) => seconds));
  if (times.length === 0) return [];
  const first = Math.min(...times);
  const numSteps = Math.round((Math.max(...times) - first) / stepS);
  return Array.from({ length: numSteps + 1 }, (_, step) => first + step * stepS);
}

/** Rounds to whole ms, in which equal times are equal; times in seconds have rounding errors. */
function keyOf(seconds: number): number {
  return Math.round(1e3 * seconds);
}

/** Whether a value has gaps on both sides, so that no line is drawn through it. */
function hasLonePoint(y: readonly (number | null)[]): boolean {
  return y.some(
    (value, at) => value !== null && (y[at - 1] ?? null) === null && (y[at + 1] ?? null) === null,
  );
}

function inOrder(series: readonly LokiSeries[]): { label: string; values: LokiSeries['values'] }[] {
  return series
    .slice(0, MAX_SERIES)
    .map(({ metric, values }) => ({ label: nameOf(metric), values }))
    .toSorted((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }));
}

function nameOf(metric: Readonly<Record<string, string>>): string {
  return (
    Object.entries(metric)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ') || 'value'
  );
}
