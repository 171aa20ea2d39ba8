import type { RankSpeed, StepReport } from '../rpc/generated/messages.js';

/** Times of a step that a rank reports. */
type StepTimes = Pick<StepReport, 'rank' | 'stepMs' | 'partsMs' | 'cpuMs' | 'queuedMs'>;

/** Number of steps over which a rank's speed is computed. */
const WINDOW_STEPS = 200;

/**
 * Time in ms that a rank itself spent on a step, without waiting for others or for a processor, and the CPU time of its process.
 */
export interface OwnTime {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/**
 * Measures how long each rank takes for its own part of a step. The step itself takes all ranks equally long, as each
 * waits for the slowest.
 */
export class RankSpeeds {
  /** Reports of steps that not all ranks have reported; each rank reports its steps in order. */
  readonly #pending: StepTimes[][];
  /** Own times by rank, the newest last. */
  readonly #own: OwnTime[][];
  /** Times of the same steps on the slowest rank. */
  readonly #stepMs: number[] = [];

  constructor(worldSize: number) {
    this.#pending = Array.from({ length: worldSize }, () => []);
    this.#own = Array.from({ length: worldSize }, () => []);
  }

  add(report: StepTimes): void {
    this.#pending[report.rank]!.push(report);
    if (this.#pending.some((reports) => reports.length === 0)) return;
    const reports = this.#pending.map((each) => each.shift()!);
    for (const report of reports)
      push(this.#own[report.rank]!, { wallMs: ownMs(report), cpuMs: report.cpuMs });
    push(this.#stepMs, Math.max(...reports.map(({ stepMs }) => stepMs)));
  }

  /** Returns the own times in the last `numSteps` steps by rank, or in fewer steps at the beginning. */
  last(numSteps: number): OwnTime[][] {
    return this.#own.map((times) => times.slice(-numSteps));
  }

  /** Speeds by rank; empty before the first step. */
  get speeds(): RankSpeed[] {
    if (this.#stepMs.length === 0) return [];
    const lostMs = this.#lostMs();
    const totalMs = this.#stepMs.reduce((sum, ms) => sum + ms, 0);
    return this.#own.map((times, rank) => {
      const sorted = times.map(({ wallMs }) => wallMs).sort((a, b) => a - b);
      const quantile = (share: number) =>
        sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
      return {
        rank,
        p50Ms: quantile(0.5),
        p99Ms: quantile(0.99),
        lostShare: Math.min(1, lostMs[rank]! / totalMs),
      };
    });
  }

  /** Returns how much slower each rank was than the next slowest, over the steps in which the rank was the slowest. */
  #lostMs(): number[] {
    const lostMs = this.#own.map(() => 0);
    for (const step of this.#stepMs.keys()) {
      const wallMs = this.#own.map((times) => times[step]!.wallMs);
      const most = Math.max(...wallMs);
      const slowest = wallMs.indexOf(most);
      lostMs[slowest]! += most - Math.max(0, ...wallMs.filter((_, rank) => rank !== slowest));
    }
    return this.#own.length === 1 ? [0] : lostMs;
  }
}

/** Returns a rank's own time, at least its CPU time: a wake-up delayed by a busy processor is subtracted twice. */
function ownMs({ stepMs, partsMs, cpuMs, queuedMs }: StepTimes): number {
  return Math.max(cpuMs, stepMs - (partsMs.waiting ?? 0) - queuedMs);
}

function push<T>(window: T[], value: T): void {
  window.push(value);
  if (window.length > WINDOW_STEPS) window.shift();
}
