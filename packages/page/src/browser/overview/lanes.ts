import { h, heading, legendEntry } from '../dom.js';
import { formatClock, formatElapsed, timeZone } from '../format.js';
import { type Level, levelVariable } from '../levels.js';
import { pageState, setState } from '../location.js';
import { toggled } from '../page-state.js';
import { cssColor } from '../theme.js';
import { roundTicks } from '../ticks.js';
import type { Bus } from './bus.js';
import { drawBeginnings, drawPauses } from './generation-plugin.js';
import { NO_MARKS } from './generation-spans.js';
import { activitiesAt, type LaneRow, laneRows, lanesOf, spanAt } from './lane-rows.js';
import type { LogActivity } from './log-activity.js';
import { openMoment } from './open-logs.js';
import { RowChart, type RowPlace, verticalLine } from './row-chart.js';
import type { RunData } from './run-data.js';

const TOP = 18;
/** The keyboard's cursor moves by this share of what is in view. */
const KEY_SHARE = 1 / 100;
/** A log line belongs to a position if it is within this share of the visible range. */
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
  readonly #of = h.small();
  readonly #note = h.p({ class: 'note' });
  readonly #chart: RowChart<LaneRow>;
  #run: RunData | null = null;
  #logs: LogActivity | null = null;

  constructor(bus: Bus) {
    this.#chart = new RowChart({
      label: 'Ranks over time',
      top: TOP,
      action: 'log lines around that moment',
      paint: (place) => this.#paint(place),
      describe: (row, time) => this.#describe(row, time),
      onCursor: (time) => bus.setCursor(time === null ? null : (this.#run?.clock.stepAt(time) ?? null)),
      onPick: ({ rank }, time) => this.#run && openMoment(this.#run, time, rank),
      onToggle: (key) => setState({ openNodes: toggled(pageState().openNodes ?? [], key) }),
    });
    const legend = h.div(
      { class: 'legend' },
      ...Object.entries(ACTIVITY_NAMES).map(([name, text]) => legendEntry(`var(--activity-${name})`, text)),
      ...(['error', 'warn'] as const).map((level) =>
        legendEntry(`var(${levelVariable(level)})`, level, 'mark'),
      ),
    );
    this.element = h.section(
      { class: 'card lanes', 'aria-label': 'Ranks over time' },
      heading('Ranks over time', this.#of, legend),
      this.#chart.element,
      this.#note,
    );
    bus.onCursor((step) => {
      this.#chart.setCursor(step === null ? null : (this.#run?.clock.timeOf(step) ?? null));
    });
  }

  /** @param of text beside the title that says which of several runs this is */
  set(run: RunData, logs: LogActivity | null, of: string): void {
    this.#run = run;
    this.#logs = logs;
    this.#of.textContent = of;
    const rows = laneRows(run, lanesOf(run, logs?.ranks ?? []), pageState().openNodes);
    this.element.hidden = rows.length === 0;
    const hasBeats = (run.ranks?.ranks.length ?? 0) > 0;
    this.#note.textContent = `${hasBeats ? '' : 'No heartbeats recorded: lanes show log lines only. '}Click a lane for its log lines around that moment. Clock times are ${timeZone(run.startedAt)}.`;
    const [from, to] = this.#times;
    this.#chart.set(rows, {
      name: 'time since the start',
      range: [from, to],
      ticks: (maxTicks) => roundTicks(from, to, maxTicks, run.startedAt),
      tick: (time) => formatElapsed(time - run.startedAt),
      next: (time, by) => time + by * KEY_SHARE * (to - from),
    });
  }

  get #times(): readonly [number, number] {
    const run = this.#run;
    const { range } = pageState();
    if (run === null) return [0, 1];
    if (range !== null) return [run.clock.timeOf(range[0]), run.clock.timeOf(range[1])];
    const spans = lanesOf(run, this.#logs?.ranks ?? []).map((lane) => lane.spans);
    const starts = spans.flatMap((of) => of[0]?.from ?? []);
    const ends = spans.flatMap((of) => of.at(-1)?.to ?? []);
    const start = Math.min(run.startedAt, ...starts);
    const lastStep = run.allOf('loss').time?.at(-1) ?? start;
    return [start, Math.max(start + 1_000, lastStep, ...ends, run.detail?.failure?.time ?? 0)];
  }

  #marksOf({ lanes }: LaneRow): LogActivity['marks'] {
    const ranks = new Set(lanes.map(({ rank }) => rank));
    return (this.#logs?.marks ?? []).filter(({ rank }) => ranks.has(rank));
  }

  #paint(place: RowPlace<LaneRow>): void {
    const { context, width, x, clip } = place;
    for (const { row, top } of place.rows) {
      const [laneTop, inner] = [top + 3, row.height - 6];
      context.fillStyle = cssColor('--lane');
      context.fillRect(0, laneTop, width, inner);
      const spans = row.lanes.flatMap((lane) => lane.spans);
      for (const activity of WORST_LAST) {
        context.fillStyle = cssColor(`--activity-${activity}`);
        for (const span of spans.filter((each) => each.activity === activity)) {
          const [left, right] = [clip(x(span.from)), clip(x(span.to))];
          if (right > left) context.fillRect(left, laneTop, Math.max(1, right - left), inner);
        }
      }
      // Warnings and errors are tall marks, other lines short ones.
      for (const { level, time } of this.#marksOf(row)) {
        const px = x(time);
        if (px !== clip(px)) continue;
        context.fillStyle = cssColor(levelVariable(level));
        if (PROBLEMS.includes(level)) context.fillRect(px - 1, top, 3, row.height);
        else context.fillRect(px - 1, top + row.height - 5, 1, 2);
      }
    }
    this.#paintBoundaries(place);
  }

  #paintBoundaries({ context, x, clip, width, bottom }: RowPlace<LaneRow>): void {
    const failure = this.#run?.detail?.failure;
    const marks = this.#run?.generationMarks('time', (time) => time) ?? NO_MARKS;
    const size = { left: 0, right: width, top: TOP, height: bottom - TOP };
    const frame = { ...size, scale: 1, labelTop: 2, hasBands: false, pixelOf: x };
    drawPauses(context, marks, frame);
    drawBeginnings(context, marks, frame);
    if (failure?.time == null || clip(x(failure.time)) !== x(failure.time)) return;
    verticalLine(context, x(failure.time), [4, bottom], '--level-error');
    context.textAlign = 'right';
    context.fillText('failed', x(failure.time) - 4, 8);
    context.textAlign = 'left';
  }

  #describe(row: LaneRow, time: number): readonly string[] {
    const { lanes, rank } = row;
    const [from, to] = this.#times;
    const near = this.#marksOf(row).filter((mark) => Math.abs(mark.time - time) < MARK_SHARE * (to - from));
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
