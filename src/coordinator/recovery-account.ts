import { RECOVERY_SPANS, type RecoveryBill } from '@locmoe/run-format';
import type { RunListener } from '../run/run-listener.js';

const MAX_STEPS = 100_000;

type Spans = Partial<RecoveryBill['ranksS'][number]>;

interface Outage {
  readonly detectedS: number;
  readonly sinceMs: number;
  /** Last completed step. */
  readonly lastStep: number;
  /** When the state to start from was chosen, and when all nodes had joined. */
  endedMs: number;
  joinedMs: number;
}

/** A recovery from the begin of training until all ranks have done the first new step. */
interface Recovery {
  readonly outage: Outage;
  readonly newStep: number;
  /** The start of each rank in ms by part, and when its first step was reported. */
  readonly starts: Map<number, { readonly startMs: Spans; readonly atMs: number }>;
  readonly ranksS: RecoveryBill['ranksS'][number][];
}

/**
 * Accounts for each recovery of a run: from the first failure until it trains again, and, with a bill for each rank,
 * until it has done the first new step.
 */
export function recoveryAccounts(
  told: Required<Pick<RunListener, 'recovered' | 'bill'>>,
  nowMs: () => number = () => performance.now(),
) {
  /** Duration in ms of each step that a restart may repeat. */
  const durations = new Map<number, number>();
  let completed = { step: 0, atMs: nowMs() };
  let outage: Outage | null = null;
  let recovery: Recovery | null = null;
  let resumedStep = 0;
  return {
    rankStep({ rank, step, startMs }) {
      if (recovery === null) return;
      const { starts, ranksS, newStep, outage } = recovery;
      const start = starts.get(rank) ?? { startMs, atMs: nowMs() };
      starts.set(rank, start);
      if (step !== newStep) return;
      const spansMs: Spans = {
        ...start.startMs,
        detection: 1000 * outage.detectedS,
        end: outage.endedMs - outage.sinceMs,
        join: outage.joinedMs - outage.endedMs,
        again: nowMs() - start.atMs,
      };
      const spansS = RECOVERY_SPANS.map((span) => [span, toSeconds(spansMs[span] ?? 0)]);
      ranksS[rank] = Object.fromEntries(spansS);
    },
    step({ step, stepMs }) {
      completed = { step, atMs: nowMs() };
      durations.set(step, stepMs);
      // Without checkpoints nothing else would bound the map.
      if (durations.size > MAX_STEPS) durations.delete(durations.keys().next().value!);
      if (step !== recovery?.newStep) return;
      const { outage, ranksS } = recovery;
      recovery = null;
      const waitsS = ranksS.map(({ peers }) => peers);
      told.bill({
        outageS: toSeconds(1000 * outage.detectedS + nowMs() - outage.sinceMs),
        slowest: waitsS.indexOf(Math.min(...waitsS)),
        ranksS,
      });
    },
    /** Forgets earlier steps: a restart repeats none before a checkpoint, unless that proves damaged. */
    checkpoint({ step }) {
      for (const each of durations.keys()) if (each <= step) durations.delete(each);
    },
    restarts({ rank, node, ranks }) {
      // A generation that fails before it trains only prolongs the outage.
      if (outage !== null) return;
      recovery = null;
      const now = nowMs();
      const silent = ranks
        .filter((each) => (rank === null ? each.node === node : each.rank === rank))
        .map(({ lastHeardMs }) => lastHeardMs);
      const detectedMs = silent.length > 0 ? Math.max(...silent) : now - completed.atMs;
      const { step: lastStep } = completed;
      outage = { detectedS: detectedMs / 1000, sinceMs: now, lastStep, endedMs: now, joinedMs: now };
    },
    generation({ resumedFrom }) {
      resumedStep = resumedFrom ?? 0;
      if (outage !== null) outage.endedMs = nowMs();
    },
    state({ kind }) {
      if (outage === null) return;
      if (kind === 'starting') outage.joinedMs = nowMs();
      if (kind !== 'running') return;
      const { detectedS, sinceMs, lastStep } = outage;
      const repeated = [...durations].filter(([step]) => step > resumedStep && step <= lastStep);
      const newStep = Math.max(lastStep, resumedStep) + 1;
      recovery = { outage, newStep, starts: new Map(), ranksS: [] };
      outage = null;
      completed = { ...completed, step: resumedStep };
      told.recovered({
        detectedS,
        restartedS: (nowMs() - sinceMs) / 1000,
        lostSteps: Math.max(0, lastStep - resumedStep),
        lostS: repeated.reduce((sum, [, ms]) => sum + ms, 0) / 1000,
      });
    },
  } satisfies RunListener;
}

/** Rounds to ms. */
function toSeconds(ms: number): number {
  return Math.round(ms) / 1000;
}
