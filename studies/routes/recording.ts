import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { type RunFolder, readRecords } from '@locmoe/run-format';
import { mean, median, sum } from '../../packages/bench/src/statistics.js';
import { runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';

/** The default of train.recordRoutes.every. */
const EVERY = 50;
const WARM_UP_STEPS = 20;
/**
 * Settings of each kind of run: without a recording, with the default sampling, and with everything recorded
 * in every step.
 */
const KINDS = {
  off: [],
  sampled: [`train.recordRoutes.every=${EVERY}`],
  whole: ['train.recordRoutes={"every":1,"share":1,"maxMB":4000}'],
};
type Kind = keyof typeof KINDS;

/** Cost of recording. Times are in ms, of the slowest rank. */
export interface Recording {
  readonly turns: number;
  readonly steps: number;
  /** Mean time of a step by turn. */
  readonly stepMs: Readonly<Record<Kind, readonly number[]>>;
  /**
   * How much longer a recorded step takes than the other steps of its run, with the default sampling; by
   * medians.
   */
  readonly recordedStepMs: number;
  /** The same cost averaged over all steps, as a share of a step. */
  readonly shareOfStep: number;
  /** Choices recorded per second of the extra time, over all ranks, where everything is recorded. */
  readonly rowsPerS: number;
  readonly megabytesPerMillionChoices: number;
}

/** Trains the recipe `tiny` on two nodes of one worker each, with each kind of recording in turn. */
export async function measureRecording({ quick, workDir, dataDir, log }: PartPlace): Promise<Recording> {
  const turns = quick ? 1 : 3;
  const steps = quick ? 2 * EVERY : 4 * EVERY;
  const runs: Record<Kind, RunFolder[]> = { off: [], sampled: [], whole: [] };
  for (let turn = 0; turn < turns; turn++)
    for (const kind of Object.keys(KINDS) as Kind[]) {
      const sets = [
        'cluster.workersPerNode=1',
        `train.steps=${steps}`,
        'train.validateEvery=1000',
        ...KINDS[kind],
      ];
      const folder = path.join(workDir, `${kind}-${turn}`);
      runs[kind].push(await runTraining({ config: 'tiny', sets, folder, dataDir }));
      log(`${kind}, turn ${turn + 1}: ${mean(timesOf(runs[kind].at(-1)!)).toFixed(1)} ms a step`);
    }
  const stepMs = {
    off: runs.off.map((run) => mean(timesOf(run))),
    sampled: runs.sampled.map((run) => mean(timesOf(run))),
    whole: runs.whole.map((run) => mean(timesOf(run))),
  };
  const extras = runs.sampled.map((run) => {
    const recorded = timesOf(run, (step) => step % EVERY === 0);
    return median(recorded) - median(timesOf(run, (step) => step % EVERY !== 0));
  });
  const files = runs.whole.flatMap(({ routes }) =>
    readdirSync(routes).map((name) => path.join(routes, name)),
  );
  const bytes = sum(files.map((file) => statSync(file).size));
  const choices = sum(runs.whole.map(choicesOf));
  const wholeExtraMs = median(stepMs.whole.map((ms, turn) => ms - stepMs.off[turn]!));
  return {
    turns,
    steps,
    stepMs,
    recordedStepMs: median(extras),
    shareOfStep: median(extras) / EVERY / median(stepMs.off),
    rowsPerS: (1000 * choices) / (turns * steps * wholeExtraMs),
    megabytesPerMillionChoices: bytes / choices,
  };
}

function timesOf(run: RunFolder, isCounted: (step: number) => boolean = () => true): number[] {
  return stepsOf(run).flatMap(({ step, stepMs }) => (step > WARM_UP_STEPS && isCounted(step) ? stepMs : []));
}

function choicesOf(run: RunFolder): number {
  return sum(stepsOf(run).map(({ layers }) => sum(layers.map(({ routed }) => sum(routed)))));
}

function stepsOf({ metrics }: RunFolder) {
  return readRecords(metrics).flatMap((record) => (record.type === 'step' ? record : []));
}
