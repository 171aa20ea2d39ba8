import type { RankActivity, RankLane } from '../../api-types.js';
import { fill, h, paintable } from '../dom.js';
import { formatClock, formatElapsed } from '../format.js';
import { type Level, levelVariable } from '../levels.js';
import { cssColor, onTheme } from '../theme.js';
import { roundTicks } from '../ticks.js';
import type { Bus } from './bus.js';
import type { LogActivity } from './log-activity.js';
import type { RunData } from './run-data.js';

const GUTTER = 92;
const RIGHT = 150;
const ROW = 20;
const TOP = 18;
const AXIS = 18;
const MAX_TICKS = 9;
/** A rank stalled first if its last step is older than the others' by this. */
const STALL_MARGIN_MS = 1_500;

const ACTIVITIES: readonly (readonly [RankActivity, string])[] = [
  ['training', 'training'],
  ['working', 'busy, no new step'],
  ['waiting', 'in a collective, no new step'],
  ['starting', 'starting'],
  ['stopped', 'suspended'],
  ['gone', 'ended'],
];

/** A lane for each rank over time: its activity, its warnings and errors, and which rank stalled first. */
export class Lanes {
  readonly element: HTMLElement;
  readonly #canvas = h('canvas', { class: 'lanes-canvas', role: 'img', 'aria-label': 'ranks over time' });
  readonly #note = h('p', { class: 'note' });
  #run: RunData | null = null;
  #logs: LogActivity | null = null;
  #range: readonly [number, number] | null = null;
  #cursor: number | null = null;

  /** @param onTime opens the log of a rank around a time */
  constructor(
    readonly bus: Bus,
    readonly onTime: (timeMs: number, rank: number | null) => void,
  ) {
    const legend = ACTIVITIES.map(([activity, text]) => {
      const swatch = h('i', { class: 'block' });
      swatch.style.setProperty('--color', `var(--activity-${activity})`);
      return h('span', { class: 'entry' }, swatch, text);
    });
    this.element = h(
      'section',
      { class: 'card lanes', 'aria-label': 'Ranks over time' },
      h('header', {}, h('h2', {}, 'Ranks over time'), h('div', { class: 'legend' }, ...legend)),
      this.#canvas,
      this.#note,
    );
    this.#canvas.addEventListener('mousemove', (event) => this.#onMove(event));
    this.#canvas.addEventListener('mouseleave', () => bus.setCursor(null));
    this.#canvas.addEventListener('click', (event) =>
      onTime(this.#timeAt(event), this.#laneAt(event)?.rank ?? null),
    );
    bus.onCursor((step) => {
      this.#cursor = step;
      this.#draw();
    });
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    onTheme(() => this.#draw());
  }

  set(run: RunData | null, logs: LogActivity | null, range: readonly [number, number] | null): void {
    this.#run = run;
    this.#logs = logs;
    this.#range = range;
    const numLanes = this.#lanes.length;
    this.element.hidden = numLanes === 0;
    this.#canvas.style.height = `${TOP + numLanes * ROW + AXIS}px`;
    fill(this.#note, ...this.#noteText());
    this.#draw();
  }

  /** Ranks of the heartbeats or, without any, of the log. */
  get #lanes(): readonly RankLane[] {
    const recorded = this.#run?.ranks?.ranks ?? [];
    if (recorded.length > 0) return recorded;
    return (this.#logs?.ranks ?? []).map((rank) => ({
      rank,
      node: null,
      spans: [],
      lastProgress: null,
      lastStep: null,
    }));
  }

  get #times(): readonly [number, number] {
    const run = this.#run;
    if (run === null) return [0, 1];
    if (this.#range !== null) return [run.clock.timeOf(this.#range[0]), run.clock.timeOf(this.#range[1])];
    const ends = this.#lanes.flatMap(({ spans }) => spans.at(-1)?.to ?? []);
    const lastStep = run.allOf('loss').time?.at(-1) ?? run.startedAt;
    const end = Math.max(run.startedAt + 1_000, lastStep, ...ends, run.detail?.failure?.time ?? 0);
    return [run.startedAt, end];
  }

  #draw(): void {
    const [paint, run] = [paintable(this.#canvas), this.#run];
    if (paint === null || run === null) return;
    const { context, width, height } = paint;
    const [start, end] = this.#times;
    const plotWidth = width - GUTTER - RIGHT;
    const x = (time: number) => GUTTER + ((time - start) / (end - start)) * plotWidth;
    const clip = (px: number) => Math.max(GUTTER, Math.min(GUTTER + plotWidth, px));
    context.font = `11px ${cssColor('--font')}`;
    context.textBaseline = 'middle';
    for (const [index, lane] of this.#lanes.entries()) {
      const y = TOP + index * ROW;
      context.fillStyle = cssColor('--lane');
      context.fillRect(GUTTER, y + 3, plotWidth, ROW - 6);
      for (const { from, to, activity } of lane.spans) {
        const [left, right] = [clip(x(from)), clip(x(to))];
        if (right <= left) continue;
        context.fillStyle = cssColor(`--activity-${activity}`);
        context.fillRect(left, y + 3, Math.max(1, right - left), ROW - 6);
      }
      this.#drawMarks(context, lane.rank, y, x, clip);
      this.#drawLabels(context, lane, y, width);
    }
    this.#drawBoundaries(context, x, clip, height);
    drawAxis(context, start, end, x, height - AXIS / 2, run.startedAt);
    if (this.#cursor !== null) {
      const px = x(run.clock.timeOf(this.#cursor));
      if (px >= GUTTER && px <= GUTTER + plotWidth)
        verticalLine(context, px, TOP, height - AXIS, '--text-dim', [3, 3]);
    }
  }

  /** Warnings and errors are tall marks, other lines short ones. */
  #drawMarks(
    context: CanvasRenderingContext2D,
    rank: number,
    y: number,
    x: (time: number) => number,
    clip: (px: number) => number,
  ): void {
    for (const mark of this.#logs?.marks ?? []) {
      if (mark.rank !== rank) continue;
      const px = x(mark.time);
      if (px !== clip(px)) continue;
      const isProblem = PROBLEMS.includes(mark.level);
      context.fillStyle = cssColor(levelVariable(mark.level));
      context.fillRect(px - 1, isProblem ? y : y + ROW - 5, isProblem ? 3 : 1, isProblem ? ROW : 2);
    }
  }

  #drawLabels(context: CanvasRenderingContext2D, lane: RankLane, y: number, width: number): void {
    const middle = y + ROW / 2;
    const isRoot = this.#run?.detail?.failure?.rank === lane.rank;
    context.fillStyle = cssColor(isRoot ? '--level-error' : '--text');
    context.fillText(`rank ${lane.rank}`, 0, middle);
    context.fillStyle = cssColor('--text-dim');
    if (lane.node !== null) context.fillText(`node ${lane.node}`, 48, middle);
    const isFirst = this.#firstStalled()?.rank === lane.rank;
    const parts = [
      lane.lastStep !== null && `step ${lane.lastStep}`,
      isRoot && 'root cause',
      isFirst && 'stalled first',
      !isRoot && !isFirst && lane.spans.at(-1)?.phase,
    ];
    if (isRoot || isFirst) context.fillStyle = cssColor('--level-error');
    context.fillText(parts.filter(Boolean).join(' · '), width - RIGHT + 8, middle);
  }

  #drawBoundaries(
    context: CanvasRenderingContext2D,
    x: (time: number) => number,
    clip: (px: number) => number,
    height: number,
  ): void {
    const { generations = [] } = this.#run?.ranks ?? {};
    const failure = this.#run?.detail?.failure;
    for (const { time, generation, resumedFrom } of generations) {
      const px = clip(x(time));
      if (generation > 1 && px !== x(time)) continue;
      verticalLine(context, px, 4, height - AXIS, '--text', []);
      context.fillStyle = cssColor('--text');
      const text = resumedFrom === null ? '' : ` from step ${resumedFrom}`;
      context.fillText(`generation ${generation}${text}`, px + 4, 8);
    }
    if (failure?.time == null || clip(x(failure.time)) !== x(failure.time)) return;
    verticalLine(context, x(failure.time), 4, height - AXIS, '--level-error', []);
    context.textAlign = 'right';
    context.fillStyle = cssColor('--level-error');
    context.fillText('failed', x(failure.time) - 4, 8);
    context.textAlign = 'left';
  }

  /** Of a failed run, the rank whose last step is clearly older than the others'. */
  #firstStalled(): RankLane | null {
    if (this.#run?.detail?.state !== 'failed' && this.#run?.detail?.state !== 'dead') return null;
    const known = this.#lanes.filter(({ lastProgress }) => lastProgress !== null);
    const [first, second] = known.toSorted((a, b) => (a.lastProgress ?? 0) - (b.lastProgress ?? 0));
    if (first?.lastProgress == null || second?.lastProgress == null) return null;
    return second.lastProgress - first.lastProgress > STALL_MARGIN_MS ? first : null;
  }

  #noteText(): (string | null)[] {
    const hasBeats = (this.#run?.ranks?.ranks.length ?? 0) > 0;
    return [
      hasBeats ? null : 'No heartbeats recorded: lanes show log lines only. ',
      'Click a lane for its log lines around that moment.',
    ];
  }

  #timeAt(event: MouseEvent): number {
    const box = this.#canvas.getBoundingClientRect();
    const [start, end] = this.#times;
    return start + ((event.clientX - box.left - GUTTER) / (box.width - GUTTER - RIGHT)) * (end - start);
  }

  #laneAt(event: MouseEvent): RankLane | undefined {
    return this.#lanes[Math.floor((event.clientY - this.#canvas.getBoundingClientRect().top - TOP) / ROW)];
  }

  #onMove(event: MouseEvent): void {
    const run = this.#run;
    if (run === null) return;
    const [time, lane] = [this.#timeAt(event), this.#laneAt(event)];
    const [start, end] = this.#times;
    this.bus.setCursor(time < start || time > end ? null : run.clock.stepAt(time));
    const span = lane?.spans.find(({ from, to }) => from <= time && time <= to);
    const what =
      span === undefined ? '' : `: ${span.activity}, step ${span.step}, ${span.phase} ${span.operation}`;
    this.#canvas.title = lane === undefined ? '' : `rank ${lane.rank} at ${formatClock(time, false)}${what}`;
  }
}

const PROBLEMS: readonly Level[] = ['critical', 'error', 'warning'];

function verticalLine(
  context: CanvasRenderingContext2D,
  x: number,
  top: number,
  bottom: number,
  color: string,
  dash: number[],
): void {
  context.strokeStyle = cssColor(color);
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, top);
  context.lineTo(Math.round(x) + 0.5, bottom);
  context.stroke();
  context.setLineDash([]);
}

function drawAxis(
  context: CanvasRenderingContext2D,
  start: number,
  end: number,
  x: (time: number) => number,
  y: number,
  zero: number,
): void {
  context.fillStyle = cssColor('--text-dim');
  context.textAlign = 'center';
  for (const time of roundTicks(start, end, MAX_TICKS, zero))
    context.fillText(formatElapsed(time - zero), x(time), y);
  context.textAlign = 'left';
}
