import type { MetricsRecordOf, RankBeat } from '@locmoe/run-format';
import type { GenerationPoint, RankActivity, RankLane, RankSpan, RanksReply } from './api-types.js';

/**
 * Maximum number of spans per rank, about the width of a lane in pixels; beyond it, pairs of spans are
 * merged.
 */
const MAX_SPANS = 600;
/** A longer time between two heartbeats is left empty. */
const MAX_GAP_MS = 10_000;

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Lane extends Mutable<Omit<RankLane, 'spans'>> {
  spans: Mutable<RankSpan>[];
  lastBeat: number;
}

interface SavedLanes {
  readonly lanes: readonly Lane[];
  readonly numMerges: number;
  readonly lastTime: number;
}

/** The activity of each rank over time, from heartbeats, in bounded memory. */
export class RankLanes {
  readonly #lanes = new Map<number, Lane>();
  /** How often spans were merged, which makes spans that were sent before obsolete. */
  #numMerges = 0;
  #lastTime = 0;

  /** Begins a generation: what its ranks do does not continue their earlier spans. */
  begin(time: number): void {
    for (const lane of this.#lanes.values()) lane.lastBeat = Math.max(lane.lastBeat, time);
  }

  add({ time, ranks }: Pick<MetricsRecordOf<'heartbeat'>, 'time' | 'ranks'>): void {
    for (const beat of ranks) {
      const lane = this.#laneOf(beat.rank);
      lane.node = beat.node ?? lane.node;
      const hasAdvanced = beat.step !== lane.lastStep;
      if (hasAdvanced) {
        lane.lastProgress = time;
        lane.lastStep = beat.step;
      }
      extend(lane, beat, activityOf(beat, hasAdvanced), time);
      lane.lastBeat = time;
      if (lane.spans.length > MAX_SPANS) {
        lane.spans = merged(lane.spans);
        this.#numMerges++;
      }
    }
    this.#lastTime = time;
  }

  /** Returns the state for `restore`, as JSON. */
  save(): object {
    const lanes = [...this.#lanes.values()];
    return { lanes, numMerges: this.#numMerges, lastTime: this.#lastTime } satisfies SavedLanes;
  }

  restore(saved: object): void {
    const { lanes, numMerges, lastTime } = saved as SavedLanes;
    this.#numMerges = numMerges;
    this.#lastTime = lastTime;
    for (const lane of lanes) this.#lanes.set(lane.rank, lane);
  }

  /** @param epoch counts how often the run's metrics were rewritten */
  reply(epoch: number, after: string | undefined, generations: readonly GenerationPoint[]): RanksReply {
    const [knownEpoch, numMerges, knownTime = 0] = (after ?? '').split('.').map(Number);
    const isKnown = knownEpoch === epoch && numMerges === this.#numMerges;
    const ranks: RankLane[] = [...this.#lanes.values()]
      .sort((a, b) => a.rank - b.rank)
      .map(({ lastBeat, spans, ...lane }) => {
        return { ...lane, spans: isKnown ? spans.filter(({ to }) => to > knownTime) : spans };
      });
    const cursor = [epoch, this.#numMerges, this.#lastTime].join('.');
    return { cursor, replaces: !isKnown, ranks, generations };
  }

  #laneOf(rank: number): Lane {
    const unknown = { node: null, spans: [], lastProgress: null, lastStep: null };
    const lane = this.#lanes.get(rank) ?? { rank, ...unknown, lastBeat: Number.NEGATIVE_INFINITY };
    this.#lanes.set(rank, lane);
    return lane;
  }
}

function activityOf({ processState, step, operation }: RankBeat, hasAdvanced: boolean): RankActivity {
  if (processState === 'T' || processState === 't') return 'stopped';
  if (processState === 'X' || processState === 'Z') return 'gone';
  if (step === 0) return 'starting';
  if (hasAdvanced) return 'training';
  return operation === '' ? 'working' : 'waiting';
}

/** Extends a lane by a heartbeat, which covers the time since the last one. */
function extend(
  lane: Lane,
  { step, phase, operation }: RankBeat,
  activity: RankActivity,
  time: number,
): void {
  const last = lane.spans.at(-1);
  const isGap = time - lane.lastBeat > MAX_GAP_MS;
  if (last !== undefined && !isGap && last.to === lane.lastBeat && last.activity === activity) {
    Object.assign(last, { to: time, step, phase, operation });
    return;
  }
  const from = isGap ? time : lane.lastBeat;
  lane.spans.push({ from, to: time, activity, step, phase, operation });
}

/** Merges pairs of spans; the activity of higher weight takes the time of both. */
function merged(spans: readonly Mutable<RankSpan>[]): Mutable<RankSpan>[] {
  const half: Mutable<RankSpan>[] = [];
  for (let index = 0; index < spans.length; index += 2) {
    const [first, second] = [spans[index]!, spans[index + 1]];
    const isHeavier = WEIGHT.indexOf(second?.activity ?? 'training') > WEIGHT.indexOf(first.activity);
    if (second === undefined) half.push(first);
    else if (second.from > first.to) half.push(first, second);
    else half.push({ ...(isHeavier ? second : first), from: first.from, to: second.to });
  }
  return half;
}

/** Activities in ascending order of weight. */
const WEIGHT: readonly RankActivity[] = ['training', 'working', 'waiting', 'starting', 'gone', 'stopped'];
