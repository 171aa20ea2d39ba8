import { button, fill, h, menu } from '../dom.js';
import { formatDate } from '../format.js';
import type { PageState } from '../page-state.js';

const UNITS_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

/** Start and end of a run in ms since 1970; the end of a live run is now. */
export interface RunTimes {
  readonly startedAt: number;
  readonly end: number;
  readonly isLive: boolean;
}

/** Returns start and end in ms since 1970. A duration counts back from the run's end. */
export function resolveRange(
  { from, to }: Pick<PageState, 'from' | 'to'>,
  { startedAt, end }: RunTimes,
): readonly [number, number] {
  const start = from === null ? startedAt - 1_000 : momentOf(from, end, startedAt);
  return [start, to === null ? end + 1_000 : momentOf(to, end, end)];
}

function momentOf(text: string, end: number, otherwise: number): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  if (unit !== undefined) return end - Number(count) * UNITS_MS[unit]!;
  const ms = Number(text);
  return Number.isFinite(ms) ? ms : otherwise;
}

const PRESETS = ['1m', '5m', '15m', '1h', '6h', '1d'];

/** Menu for the time range: the whole run, its last minutes, or two dates. */
export class TimeRangePicker {
  readonly #summary = h.summary();
  readonly #from = h.input({ type: 'datetime-local', step: '1', 'aria-label': 'from' });
  readonly #to = h.input({ type: 'datetime-local', step: '1', 'aria-label': 'to' });
  readonly element: HTMLDetailsElement;

  constructor(onChoose: (range: Pick<PageState, 'from' | 'to'>) => void) {
    const choose = (from: string | null, to: string | null) => {
      this.element.open = false;
      onChoose({ from, to });
    };
    const timeIn = ({ value }: HTMLInputElement) => (value === '' ? null : String(Date.parse(value)));
    const presets = PRESETS.map((preset) => button(`last ${preset}`, () => choose(preset, null)));
    const body = h.div(
      { class: 'menu-body' },
      button('whole run', () => choose(null, null)),
      h.div({ class: 'presets' }, ...presets),
      h.label(h.span('from'), this.#from),
      h.label(h.span('to'), this.#to),
      button('Apply', () => choose(timeIn(this.#from), timeIn(this.#to)), { class: 'primary' }),
    );
    this.element = menu('time-range', this.#summary, body);
  }

  show({ from, to }: Pick<PageState, 'from' | 'to'>, range: readonly [number, number]): void {
    const isRelative = from !== null && to === null && !/^\d+$/.test(from);
    const [start, end] = range.map(formatDate) as [string, string];
    const whole = from === null && to === null ? 'whole run' : `${start} to ${end.slice(11)}`;
    fill(this.#summary, isRelative ? `last ${from}` : whole);
    // The format that `datetime-local` requires.
    this.#from.value = start.replace(' ', 'T');
    this.#to.value = end.replace(' ', 'T');
  }
}
