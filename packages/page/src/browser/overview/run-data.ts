import type {
  Columns,
  ExpertsReply,
  MetricsGroup,
  MetricsReply,
  RanksReply,
  RunDetail,
} from '../../api-types.js';
import { fetchExperts, fetchMetrics, fetchRanks, fetchRun } from '../api.js';
import { StepClock } from './step-clock.js';

/** Beyond it all rows are fetched again, downsampled by the server. */
const MAX_ROWS = 4_000;
/** Expert load and rank lanes have no cursor: each reply is complete, so they are fetched less often. */
const COMPLETE_REPLY_MS = 5_000;

export interface DataRequest {
  readonly layer: string;
  readonly range: readonly [number, number] | null;
  /** Also fetches expert load and rank lanes. */
  readonly isPrimary: boolean;
}

/** The browser's copy of a run's data, updated while the run is live. */
export class RunData {
  detail: RunDetail | null = null;
  experts: ExpertsReply | null = null;
  ranks: RanksReply | null = null;
  metrics: MetricsReply | null = null;
  clock = new StepClock([], [], 0);
  #groups: Record<MetricsGroup, Columns> | null = null;
  /** Rows of the zoomed range at a higher resolution. */
  #zoomed: Record<MetricsGroup, Columns> | null = null;
  #key = '';
  #completeAt = Number.NEGATIVE_INFINITY;
  #isComplete = false;

  constructor(readonly runId: string) {}

  get startedAt(): number {
    return Date.parse(this.detail?.startedAt ?? '') || 0;
  }

  group(name: MetricsGroup): Columns {
    return (this.#zoomed ?? this.#groups)?.[name] ?? {};
  }

  /** Rows of the whole run, whatever the zoom. */
  allOf(name: MetricsGroup): Columns {
    return this.#groups?.[name] ?? {};
  }

  /** Fetches what is new. @returns false if the run is over and nothing else changed */
  async refresh(request: DataRequest): Promise<boolean> {
    const key = JSON.stringify(request);
    if (this.#isComplete && key === this.#key) return false;
    const [detail] = await Promise.all([
      fetchRun(this.runId),
      this.#refreshMetrics(request),
      request.isPrimary ? this.#refreshComplete() : undefined,
    ]);
    // Complete only if this refresh began after the run was known to be over.
    this.#isComplete = this.detail?.isLive === false;
    this.detail = detail;
    this.#key = key;
    const { step = [], time = [] } = this.allOf('loss');
    this.clock = new StepClock(step, time, this.startedAt);
    return true;
  }

  async #refreshMetrics({ layer, range }: DataRequest): Promise<void> {
    const isOtherLayer = this.#key !== '' && JSON.parse(this.#key).layer !== layer;
    const isLong = (this.#groups?.loss.step?.length ?? 0) > MAX_ROWS;
    const after = isOtherLayer || isLong ? null : (this.metrics?.cursor ?? null);
    const reply = await fetchMetrics(this.runId, { after, layer });
    this.#groups =
      reply.replaces || this.#groups === null ? reply.groups : appended(this.#groups, reply.groups);
    this.metrics = reply;
    this.#zoomed =
      range === null || reply.numRows <= (this.#groups.loss.step?.length ?? 0)
        ? null
        : (await fetchMetrics(this.runId, { range, layer })).groups;
  }

  async #refreshComplete(): Promise<void> {
    const now = performance.now();
    const isDue = now - this.#completeAt > COMPLETE_REPLY_MS || this.detail?.isLive === false;
    if (!isDue) return;
    [this.experts, this.ranks] = await Promise.all([fetchExperts(this.runId), fetchRanks(this.runId)]);
    this.#completeAt = now;
  }
}

function appended(
  groups: Record<MetricsGroup, Columns>,
  more: Readonly<Record<MetricsGroup, Columns>>,
): Record<MetricsGroup, Columns> {
  const joined = (name: MetricsGroup) => {
    const before = groups[name];
    const numBefore = Object.values(before)[0]?.length ?? 0;
    const numMore = Object.values(more[name])[0]?.length ?? 0;
    if (numMore === 0) return before;
    const names = new Set([...Object.keys(before), ...Object.keys(more[name])]);
    const blank = (length: number) => new Array<null>(length).fill(null);
    return Object.fromEntries(
      [...names].map((column) => [
        column,
        [...(before[column] ?? blank(numBefore)), ...(more[name][column] ?? blank(numMore))],
      ]),
    );
  };
  return {
    loss: joined('loss'),
    speed: joined('speed'),
    gradient: joined('gradient'),
    routing: joined('routing'),
    memory: joined('memory'),
  };
}
