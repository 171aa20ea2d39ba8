import type { RecoveryAccount } from '@locmoe/run-format';
import type { RunListener } from '../run/run-listener.js';

const MAX_STEPS = 100_000;

interface Outage {
  readonly detectedS: number;
  readonly sinceMs: number;
  /** Last completed step. */
  readonly lastStep: number;
}

/** Accounts for each recovery of a run, from the first failure until it trains again. */
export function recoveryAccounts(
  onRecovered: (account: RecoveryAccount) => void,
  nowMs: () => number = () => performance.now(),
) {
  /** Duration in ms of each step that a restart may repeat. */
  const durations = new Map<number, number>();
  let completed = { step: 0, atMs: nowMs() };
  let outage: Outage | null = null;
  let resumedStep = 0;
  return {
    step({ step, stepMs }) {
      completed = { step, atMs: nowMs() };
      durations.set(step, stepMs);
      // Without checkpoints nothing else would bound the map.
      if (durations.size > MAX_STEPS) durations.delete(durations.keys().next().value!);
    },
    /** Forgets earlier steps: a restart repeats none before a checkpoint, unless that proves damaged. */
    checkpoint({ step }) {
      for (const each of durations.keys()) if (each <= step) durations.delete(each);
    },
    restarts({ rank, node, ranks }) {
      // A generation that fails before it trains only prolongs the outage.
      if (outage !== null) return;
      const now = nowMs();
      const silent = ranks
        .filter((each) => (rank === null ? each.node === node : each.rank === rank))
        .map(({ lastHeardMs }) => lastHeardMs);
      const detectedMs = silent.length > 0 ? Math.max(...silent) : now - completed.atMs;
      outage = { detectedS: detectedMs / 1000, sinceMs: now, lastStep: completed.step };
    },
    generation({ resumedFrom }) {
      resumedStep = resumedFrom ?? 0;
    },
    state({ kind }) {
      if (kind !== 'running' || outage === null) return;
      const { detectedS, sinceMs, lastStep } = outage;
      const repeated = [...durations].filter(([step]) => step > resumedStep && step <= lastStep);
      outage = null;
      completed = { ...completed, step: resumedStep };
      onRecovered({
        detectedS,
        restartedS: (nowMs() - sinceMs) / 1000,
        lostSteps: Math.max(0, lastStep - resumedStep),
        lostS: repeated.reduce((sum, [, ms]) => sum + ms, 0) / 1000,
      });
    },
  } satisfies RunListener;
}
