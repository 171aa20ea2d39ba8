import { h } from '../dom.js';
import { formatClock, formatElapsed, timeZone } from '../format.js';
import { type Level, levelVariable } from '../levels.js';
import { pageState, setState } from '../location.js';
import { cssColor } from '../theme.js';
import { roundTicks } from '../ticks.js';
import type { Bus } from './bus.js';
import type { ChartRow } from './chart-row.js';
import { drawBeginnings, drawPauses } from './generation-plugin.js';
import { NO_MARKS } from './generation-spans.js';
import { activitiesAt, type LaneRow, laneRows, lanesOf, spanAt } from './lane-rows.js';
import type { LogActivity } from './log-activity.js';
import { RowChart, type RowPlace, verticalLine } from './row-chart.js';
import type { RunData } from './run-data.js';

const TOP = 18;
/** The keyboard's cursor moves by this share of what is in view. */
const KEY_SHARE = 1 / 100;
/** A line of the log belongs to a place within this share of what is in view. */
const MARK_SHARE = 1 / 200;

const ACTIVITY_NAMES = {
  training: 'training',
  working: 'busy, no new step',
  waiting: 'in a collective, no new step',
  starting: 'starting',
  stopped: 'suspended',
  gone: 'ended',
} as const;
/** Ascending: in the row of a node, the worst of its ranks lies on top. */
const WORST_LAST = ['training', 'working', 'waiting', 'starting', 'gone', 'stopped'] as const;
const PROBLEMS: readonly Level[] = ['fatal', 'error', 'warn'];

/** A lane for each rank over time: its activity, its warnings and errors, and which rank stalled first. */
export class Lanes {
  readonly element: HTMLElement;
  readonly #of = h('small');
  readonly #note = h('p', { class: 'note' });
  readonly #chart: RowChart;
  #run: RunData | null = null;
  #logs: LogActivity | null = null;
  #range: readonly [number, number] | null = null;
  #rows: readonly LaneRow[] = [];
  #marks: ReadonlyMap<number, LogActivity['marks']> = new Map();

  /** @param onTime opens the log of a rank around a time */
  constructor(bus: Bus, onTime: (timeMs: number, rank: number | null) => void) {
    this.#chart = new RowChart({
      label: 'Ranks over time',
      top: TOP,
      action: 'log lines around that moment',
      paint: (place) => this.#paint(place),
      describe: (row, time) => this.#describe(row, time),
      onCursor: (time) => bus.setCursor(time === null ? null : (this.#run?.clock.stepAt(time) ?? null)),
      onPick: ({ key }, time) => onTime(time, this.#rowOf(key)?.rank ?? null),
      onToggle: (key) => this.#toggle(key),
    });
    const activities = Object.entries(ACTIVITY_NAMES).map(([activity, text]) =>
      entry('block', `--activity-${activity}`, text),
    );
    const marks = (['error', 'warn'] as const).map((level) => entry('mark', levelVariable(level), level));
    this.element = h(
      'section',
      { class: 'card lanes', 'aria-label': 'Ranks over time' },
      h(
        'header',
        {},
        h('h2', {}, 'Ranks over time ', this.#of),
        h('div', { class: 'legend' }, ...activities, ...marks),
      ),
      this.#chart.element,
      this.#note,
    );
    bus.onCursor((step) => {
      this.#chart.setCursor(step === null ? null : (this.#run?.clock.timeOf(step) ?? null));
    });
  }

  /** @param of said beside the title: which of several runs this is */
  set(run: RunData, logs: LogActivity | null, range: readonly [number, number] | null, of: string): void {
    this.#run = run;
    this.#logs = logs;
    this.#marks = marksOf(logs);
    this.#range = range;
    this.#of.textContent = of;
    this.#rows = laneRows(run, lanesOf(run, logs?.ranks ?? []), pageState().openNodes);
    this.element.hidden = this.#rows.length === 0;
    const hasBeats = (run.ranks?.ranks.length ?? 0) > 0;
    this.#note.textContent = `${hasBeats ? '' : 'No heartbeats recorded: lanes show log lines only. '}Click a lane for its log lines around that moment. Clock times are ${timeZone(run.startedAt)}.`;
    const [from, to] = this.#times;
    this.#chart.set(this.#rows, {
      name: 'time since the start',
      range: [from, to],
      ticks: (maxTicks) => roundTicks(from, to, maxTicks, run.startedAt),
      tick: (time) => formatElapsed(time - run.startedAt),
      next: (time, by) => time + by * KEY_SHARE * (to - from),
    });
  }

  get #times(): readonly [number, number] {
    const run = this.#run;
    if (run === null) return [0, 1];
    if (this.#range !== null) return [run.clock.timeOf(this.#range[0]), run.clock.timeOf(this.#range[1])];
    const spans = lanesOf(run, this.#logs?.ranks ?? []).map((lane) => lane.spans);
    const starts = spans.flatMap((of) => of[0]?.from ?? []);
    const ends = spans.flatMap((of) => of.at(-1)?.to ?? []);
    const start = Math.min(run.startedAt, ...starts);
    const lastStep = run.allOf('loss').time?.at(-1) ?? start;
    return [start, Math.max(start + 1_000, lastStep, ...ends, run.detail?.failure?.time ?? 0)];
  }

  #rowOf(key: string): LaneRow | undefined {
    return this.#rows.find((row) => row.key === key);
  }

  #toggle(key: string): void {
    const open = this.#rows.filter(({ isOpen }) => isOpen).map((row) => row.key);
    setState({ openNodes: open.includes(key) ? open.filter((each) => each !== key) : [...open, key] });
  }

  #paint({ context, width, bottom, tops, x, clip }: RowPlace): void {
    for (const [index, { lanes, height }] of this.#rows.entries()) {
      const [top, inner] = [tops[index]! + 3, height - 6];
      context.fillStyle = cssColor('--lane');
      context.fillRect(0, top, width, inner);
      for (const activity of WORST_LAST) {
        context.fillStyle = cssColor(`--activity-${activity}`);
        for (const { spans } of lanes)
          for (const span of spans) {
            if (span.activity !== activity) continue;
            const [left, right] = [clip(x(span.from)), clip(x(span.to))];
            if (right > left) context.fillRect(left, top, Math.max(1, right - left), inner);
          }
      }
      this.#paintMarks(
        context,
        lanes.map((lane) => lane.rank),
        tops[index]!,
        height,
        x,
        clip,
      );
    }
    this.#paintBoundaries(context, x, clip, bottom);
  }

  /** Warnings and errors are tall marks, other lines short ones. */
  #paintMarks(
    context: CanvasRenderingContext2D,
    ranks: readonly number[],
    top: number,
    height: number,
    x: (time: number) => number,
    clip: (px: number) => number,
  ): void {
    for (const mark of ranks.flatMap((rank) => this.#marks.get(rank) ?? [])) {
      const px = x(mark.time);
      if (px !== clip(px)) continue;
      const isProblem = PROBLEMS.includes(mark.level);
      context.fillStyle = cssColor(levelVariable(mark.level));
      context.fillRect(px - 1, isProblem ? top : top + height - 5, isProblem ? 3 : 1, isProblem ? height : 2);
    }
  }

  #paintBoundaries(
    context: CanvasRenderingContext2D,
    x: (time: number) => number,
    clip: (px: number) => number,
    bottom: number,
  ): void {
    const failure = this.#run?.detail?.failure;
    const marks = this.#run?.generationMarks('time', (time) => time) ?? NO_MARKS;
    const frame = {
      left: clip(Number.NEGATIVE_INFINITY),
      right: clip(Number.POSITIVE_INFINITY),
      scale: 1,
      top: TOP,
      height: bottom - TOP,
      labelTop: 2,
      hasBands: false,
      pixelOf: x,
    };
    drawPauses(context, marks, frame);
    drawBeginnings(context, marks, frame);
    if (failure?.time == null || clip(x(failure.time)) !== x(failure.time)) return;
    verticalLine(context, x(failure.time), 4, bottom, '--level-error');
    context.textAlign = 'right';
    context.fillStyle = cssColor('--level-error');
    context.fillText('failed', x(failure.time) - 4, 8);
    context.textAlign = 'left';
  }

  #describe(row: ChartRow, time: number): readonly string[] {
    const { lanes = [], rank = null } = this.#rowOf(row.key) ?? {};
    const [from, to] = this.#times;
    const ranks = lanes.map((lane) => lane.rank);
    const near = ranks
      .flatMap((each) => this.#marks.get(each) ?? [])
      .filter((mark) => Math.abs(mark.time - time) < MARK_SHARE * (to - from));
    const levels = [...new Set(near.map(({ level }) => level))];
    const span = rank === null || lanes[0] === undefined ? undefined : spanAt(lanes[0], time);
    const what =
      span === undefined
        ? activitiesAt(lanes, time).map(
            ([activity, of]) =>
              `${ACTIVITY_NAMES[activity]}: ${of.length === 1 ? `rank ${of[0]}` : `${of.length} ranks`}`,
          )
        : [`${ACTIVITY_NAMES[span.activity]}, step ${span.step}`, `${span.phase} ${span.operation}`.trim()];
    return [
      `${row.label}, ${formatClock(time, false)} ${timeZone(time)}`,
      ...what.filter(Boolean),
      ...(levels.length === 0 ? [] : [`log lines: ${levels.join(', ')}`]),
      ...(row.isBlamed && row.note ? [row.note] : []),
    ];
  }
}

function marksOf(logs: LogActivity | null): Map<number, LogActivity['marks'][number][]> {
  const marks = new Map((logs?.ranks ?? []).map((rank) => [rank, [] as LogActivity['marks'][number][]]));
  for (const mark of logs?.marks ?? []) marks.get(mark.rank)?.push(mark);
  return marks;
}

function entry(kind: 'block' | 'mark', color: string, text: string): HTMLElement {
  const swatch = h('i', { class: kind });
  swatch.style.setProperty('--color', `var(${color})`);
  return h('span', { class: 'entry' }, swatch, text);
}
