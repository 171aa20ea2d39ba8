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

/** Chart of a metric query's series. */
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
    this.element = h('div', { class: 'metric-result' }, this.#chart.element);
    this.element.hidden = true;
  }

  /** @param range ms since 1970 */
  set(series: readonly LokiSeries[], [from, to]: readonly [number, number]): void {
    this.#range = [from / 1e3, to / 1e3];
    this.#chart.setRange(this.#range);
    this.#chart.set(
      inOrder(series).map(({ label, values }, index) => ({
        label,
        color: seriesColor(index),
        x: values.map(([seconds]) => seconds),
        y: values.map(([, value]) => Number(value)),
        hasPoints: values.length < 3,
      })),
      CLOCK_AXIS,
      'No values. Try a longer time range.',
    );
  }
}

/** By name, numbers in their order. */
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
