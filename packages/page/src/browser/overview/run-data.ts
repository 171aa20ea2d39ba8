import type {
  Columns,
  ExpertsReply,
  MetricsGroup,
  MetricsReply,
  RanksReply,
  RunDetail,
} from '../../api-types.js';
import { fetchExperts, fetchMetrics, fetchRanks, fetchRun } from '../api.js';
import type { PageState } from '../page-state.js';
import {
  type GenerationMarks,
  type GenerationSpan,
  generationMarks,
  generationSpans,
} from './generation-spans.js';
import { mergedExperts, mergedMetrics, mergedRanks } from './merge-replies.js';
import { StepClock } from './step-clock.js';

/** With more rows, all are fetched again, downsampled by the server. */
const MAX_ROWS = 4_000;
/** Expert load and rank lanes change with heartbeats and buckets of steps, so they are fetched less often. */
const SLOW_MS = 5_000;
/** The summary of a run is written at most so long after its end, as it may have computed losses and samples. */
const SUMMARY_MS = 60_000;

export interface DataRequest extends Pick<PageState, 'layer' | 'range' | 'openLayers'> {
  /** Whether expert load and rank lanes are fetched too. */
  readonly isPrimary: boolean;
}

/** The browser's copy of a run's data, updated while the run is live. */
export class RunData {
  detail: RunDetail | null = null;
  experts: ExpertsReply | null = null;
  ranks: RanksReply | null = null;
  metrics: MetricsReply | null = null;
  clock = new StepClock([], [], 0);
  #tokens = new StepClock([], [], 0);
  /** Rows of the zoomed range at a higher resolution. */
  #zoomed: Readonly<Record<MetricsGroup, Columns>> | null = null;
  /** Key of the fetch of the zoomed rows; empty if they may have grown since. */
  #zoomedFor = '';
  #key = '';
  /** The layers to which the cursors belong: that of the rows, and those of the experts. */
  #layer = '';
  #openLayers = '';
  #slowAt = Number.NEGATIVE_INFINITY;
  #isComplete = false;

  constructor(readonly runId: string) {}

  get startedAt(): number {
    return Date.parse(this.detail?.startedAt ?? '') || 0;
  }

  get generationSpans(): GenerationSpan[] {
    return generationSpans(this);
  }

  xOfStep(axis: PageState['axis'], step: number): number {
    if (axis === 'step') return step;
    return axis === 'tokens' ? this.#tokens.timeOf(step) : (this.clock.timeOf(step) - this.startedAt) / 1e3;
  }

  /** Converts an x value to a step; the inverse of `xOfStep`. */
  stepOfX(axis: PageState['axis'], x: number): number {
    if (axis === 'step') return x;
    return axis === 'tokens' ? this.#tokens.stepAt(x) : this.clock.stepAt(this.startedAt + 1e3 * x);
  }

  /** Returns the width of a number of steps on an axis, at the run's mean pace. */
  widthOf(axis: PageState['axis'], steps: number): number {
    const { firstStep, lastStep } = this.metrics ?? {};
    if (axis === 'step' || firstStep == null || lastStep == null || lastStep === firstStep) return steps;
    return (steps * (this.xOfStep(axis, lastStep) - this.xOfStep(axis, firstStep))) / (lastStep - firstStep);
  }

  /** @param xOf the x value of a time, on a time axis */
  generationMarks(
    axis: PageState['axis'],
    xOf = (time: number) => (time - this.startedAt) / 1e3,
  ): GenerationMarks {
    if (axis !== 'tokens') return generationMarks(this.generationSpans, axis, xOf);
    const { generations, pauses } = generationMarks(this.generationSpans, 'step', xOf);
    const xOfEdge = (step: number) => (Number.isFinite(step) ? this.xOfStep(axis, step) : step);
    const placed = generations.map(({ generation, range: [from, to] }) => {
      return { generation, range: [xOfEdge(from), xOfEdge(to)] as const };
    });
    return { generations: placed, pauses };
  }

  group(name: MetricsGroup): Columns {
    return (this.#zoomed ?? this.metrics?.groups)?.[name] ?? {};
  }

  /** Returns the rows of the whole run, regardless of the zoom. */
  allOf(name: MetricsGroup): Columns {
    return this.metrics?.groups[name] ?? {};
  }

  /** Fetches what is new. @returns false if the run is over and nothing else changed */
  async refresh(request: DataRequest): Promise<boolean> {
    const key = JSON.stringify(request);
    if (this.#isComplete && key === this.#key) return false;
    const [detail] = await Promise.all([
      fetchRun(this.runId),
      this.#refreshMetrics(request),
      request.isPrimary ? this.#refreshSlow(request) : undefined,
    ]);
    // Complete only if this refresh began after the run was known to be over.
    const { isLive, endedAt } = this.detail ?? { isLive: true };
    const isOver = !isLive && Date.now() - (endedAt ?? 0) > SUMMARY_MS;
    this.#isComplete = isOver && this.metrics?.reading === null;
    this.detail = detail;
    this.#key = key;
    const { step = [], time = [], tokens = [] } = this.allOf('loss');
    this.clock = new StepClock(step, time, this.startedAt);
    this.#tokens = new StepClock(step, tokens, 0);
    return true;
  }

  async #refreshMetrics({ layer, range }: DataRequest): Promise<void> {
    const isLong = (this.allOf('loss').step?.length ?? 0) > MAX_ROWS;
    const after = layer !== this.#layer || isLong ? null : (this.metrics?.cursor ?? null);
    this.#layer = layer;
    const reply = await fetchMetrics(this.runId, { after, layer });
    this.metrics = mergedMetrics(this.metrics, reply);
    await this.#refreshZoom(this.metrics, { layer, range });
  }

  async #refreshZoom(
    { numRows, lastStep, groups }: MetricsReply,
    { layer, range }: Pick<DataRequest, 'layer' | 'range'>,
  ): Promise<void> {
    if (range === null || numRows <= (groups.loss.step?.length ?? 0)) {
      this.#zoomed = null;
      this.#zoomedFor = '';
      return;
    }
    const wanted = JSON.stringify([range, layer]);
    if (wanted === this.#zoomedFor) return;
    this.#zoomed = (await fetchMetrics(this.runId, { range, layer })).groups;
    this.#zoomedFor = range[1] < (lastStep ?? 0) ? wanted : '';
  }

  async #refreshSlow({ openLayers }: DataRequest): Promise<void> {
    const now = performance.now();
    const wanted = JSON.stringify(openLayers);
    const isOther = wanted !== this.#openLayers;
    const isDue = isOther || now - this.#slowAt > SLOW_MS || this.detail?.isLive === false;
    if (!isDue) return;
    const known = isOther ? null : this.experts;
    const [experts, ranks] = await Promise.all([
      fetchExperts(this.runId, { after: known?.cursor ?? null, layers: openLayers }),
      fetchRanks(this.runId, this.ranks?.cursor ?? null),
    ]);
    this.experts = mergedExperts(known, experts);
    this.ranks = mergedRanks(this.ranks, ranks);
    this.#openLayers = wanted;
    this.#slowAt = now;
  }
}
