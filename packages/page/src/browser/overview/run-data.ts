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

/** Rows after which the server thins them out anew. */
const MAX_ROWS = 4_000;
/** Load of experts and activity of ranks come whole each time, so less often. */
const WHOLE_EVERY_MS = 5_000;

/** What the overview asks of a run. */
export interface DataRequest {
  readonly layer: string;
  readonly range: readonly [number, number] | null;
  /** Also the load of experts and the ranks. */
  readonly isPrimary: boolean;
}

/** What is known of one run in the browser; grows while the run goes on. */
export class RunData {
  detail: RunDetail | null = null;
  experts: ExpertsReply | null = null;
  ranks: RanksReply | null = null;
  metrics: MetricsReply | null = null;
  clock = new StepClock([], [], 0);
  #groups: Record<MetricsGroup, Columns> | null = null;
  /** Rows of the range in view, closer together. */
  #zoomed: Record<MetricsGroup, Columns> | null = null;
  #key = '';
  #wholeAt = Number.NEGATIVE_INFINITY;
  #isComplete = false;

  constructor(readonly runId: string) {}

  get startedAt(): number {
    return Date.parse(this.detail?.startedAt ?? '') || 0;
  }

  group(name: MetricsGroup): Columns {
    return (this.#zoomed ?? this.#groups)?.[name] ?? {};
  }

  /** Every row that was fetched, whatever is in view. */
  allOf(name: MetricsGroup): Columns {
    return this.#groups?.[name] ?? {};
  }

  /** Fetches what is new. @returns false if nothing can have changed */
  async refresh(request: DataRequest): Promise<boolean> {
    const key = JSON.stringify(request);
    if (this.#isComplete && key === this.#key) return false;
    const [detail] = await Promise.all([
      fetchRun(this.runId),
      this.#refreshMetrics(request),
      request.isPrimary ? this.#refreshWhole() : undefined,
    ]);
    // What was asked for after the end was known is all there will be.
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

  async #refreshWhole(): Promise<void> {
    const now = performance.now();
    const isDue = now - this.#wholeAt > WHOLE_EVERY_MS || this.detail?.isLive === false;
    if (!isDue) return;
    [this.experts, this.ranks] = await Promise.all([fetchExperts(this.runId), fetchRanks(this.runId)]);
    this.#wholeAt = now;
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
