import { nodeOf } from '../collectives/topology.js';
import type { Logger } from '../logger.js';
import type { OwnTime, RankSpeeds } from '../run/rank-speeds.js';

const WINDOW_STEPS = 20;
/** The longest steps of a window are excluded: an occasional pause is not slowness. */
const NUM_PAUSES = 2;
/** A rank is slow from SLOW_RATIO times the time of the others on, until it falls below WELL_RATIO times. */
const SLOW_RATIO = 2;
const WELL_RATIO = 1.5;

export interface StragglerWatchOptions {
  readonly speeds: RankSpeeds;
  readonly workersPerNode: number;
  readonly hostOf: (node: number) => string | null;
  readonly logger: Logger;
}

/**
 * Warns once of a rank that takes twice as long as the others for its part of 20 steps, and reports when it has
 * recovered. It never ends a run.
 */
export class StragglerWatch {
  readonly #slowSince = new Map<number, number>();

  constructor(private readonly options: StragglerWatchOptions) {}

  /** Examines the last steps; called after each step. */
  check(step: number): void {
    const own = this.options.speeds.last(WINDOW_STEPS);
    if (own.length < 2 || own[0]!.length < WINDOW_STEPS) return;
    const typical = own.map((times) => typicalMs(times, ({ wallMs }) => wallMs));
    for (const [rank, ms] of typical.entries()) {
      const othersMs = medianOfOthers(typical, rank);
      const ratio = ms / Math.max(othersMs, Number.MIN_VALUE);
      const since = this.#slowSince.get(rank);
      if (since === undefined && ratio >= SLOW_RATIO) {
        this.#slowSince.set(rank, step);
        this.#warn(rank, { ms, othersMs, ratio }, own);
      } else if (since !== undefined && ratio < WELL_RATIO) {
        this.#slowSince.delete(rank);
        this.options.logger.info(
          { rank, ms, othersMs },
          `${this.#nameOf(rank)} is as fast as the others again: ${inMs(ms)} against ${inMs(othersMs)} a step; it was slow for ${step - since} steps`,
        );
      }
    }
  }

  #warn(
    rank: number,
    { ms, othersMs, ratio }: { readonly ms: number; readonly othersMs: number; readonly ratio: number },
    own: readonly OwnTime[][],
  ): void {
    const cpu = own.map((times) => typicalMs(times, ({ cpuMs }) => cpuMs));
    const hasMoreWork = cpu[rank]! >= WELL_RATIO * medianOfOthers(cpu, rank);
    this.options.logger.warn(
      { rank, ms, othersMs, cpuMs: cpu[rank] },
      `${this.#nameOf(rank)} takes ${ratio.toFixed(1)} times as long as the others: ${inMs(ms)} against ${inMs(othersMs)} of its own in each of the last ${WINDOW_STEPS} steps; ` +
        (hasMoreWork
          ? `it computes for ${inMs(cpu[rank]!)}: its processor is slower, or its experts get more tokens`
          : `it computes for only ${inMs(cpu[rank]!)}: it is stopped now and then (SIGSTOP), or waits for memory or a disk`),
    );
  }

  #nameOf(rank: number): string {
    const node = nodeOf(this.options, rank);
    return `rank ${rank} (node ${node}, ${this.options.hostOf(node) ?? 'unknown host'})`;
  }
}

/** Returns the mean without the longest steps. */
function typicalMs(times: readonly OwnTime[], of: (time: OwnTime) => number): number {
  const kept = times
    .map(of)
    .sort((a, b) => a - b)
    .slice(0, -NUM_PAUSES);
  return kept.reduce((sum, ms) => sum + ms, 0) / kept.length;
}

function medianOfOthers(values: readonly number[], rank: number): number {
  const others = values.filter((_, other) => other !== rank).sort((a, b) => a - b);
  return (others[(others.length - 1) >> 1]! + others[others.length >> 1]!) / 2;
}

function inMs(ms: number): string {
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
